//! Names of documents, told apart.

use std::collections::{HashMap, HashSet};

/// The longest name of a document.
pub(super) const LONGEST: usize = 200;

/// The longest number, with the line before it.
const NUMBER: usize = 1 + u64::MAX.ilog10() as usize + 1;

/// The names of a conversation's documents so far: two of one name are refused. The later ones are
/// numbered, so that those before them keep theirs from request to request.
#[derive(Default)]
pub(super) struct Names {
    taken: HashSet<String>,
    next: HashMap<String, u64>,
}

impl Names {
    /// The name that this document goes by.
    pub(super) fn apart(&mut self, name: &str) -> String {
        apart(name, &mut self.next, |tried| {
            self.taken.insert(tried.to_ascii_lowercase())
        })
    }
}

/// Takes the name, or the first number behind it that is free. The numbers of a stem are counted on from
/// its last one, so that no name is tried twice however many documents share it.
fn apart(
    name: &str,
    next: &mut HashMap<String, u64>,
    mut take: impl FnMut(&str) -> bool,
) -> String {
    if take(name) {
        return name.to_owned();
    }
    // Cut to one length whatever the number: stems that came to be one with longer numbers would try
    // each other's.
    let stem: String = name.chars().take(LONGEST - NUMBER).collect();
    let nth = next.entry(stem.to_ascii_lowercase()).or_insert(2);
    loop {
        let own = format!("{stem}-{nth}");
        *nth += 1;
        if take(&own) {
            return own;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What they are called, and how many names were tried for it.
    fn called<'a>(names: impl IntoIterator<Item = &'a str>) -> (Vec<String>, usize) {
        let (mut next, mut taken, mut tries) = (HashMap::new(), HashSet::new(), 0);
        let own = names.into_iter().map(|name| {
            apart(name, &mut next, |tried| {
                tries += 1;
                taken.insert(tried.to_ascii_lowercase())
            })
        });
        let own = own.collect();
        (own, tries)
    }

    fn assert_apart(names: &[String]) {
        let lower: HashSet<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        assert_eq!(lower.len(), names.len());
        assert!(names.iter().all(|name| name.len() <= LONGEST));
    }

    #[test]
    fn many_documents_of_one_name_try_few_names() {
        const MANY: usize = 20_000;
        let (own, tries) = called([["document", "Document"]; MANY / 2].concat());
        assert_eq!(own[..3], ["document", "Document-2", "document-3"]);
        assert_eq!(own[MANY - 1], format!("Document-{MANY}"));
        assert_apart(&own);
        assert!(tries <= 2 * MANY, "{tries}");
    }

    #[test]
    fn names_that_stand_in_the_way_are_tried_once() {
        const MANY: usize = 2_000;
        let numbered: Vec<String> = (2..MANY).map(|nth| format!("a-{nth}")).collect();
        let given = numbered.iter().map(String::as_str);
        let (own, tries) = called(given.chain(["a"; MANY]));
        assert_eq!(own[MANY - 2..MANY], ["a".to_owned(), format!("a-{MANY}")]);
        assert_apart(&own);
        assert!(tries <= 4 * MANY, "{tries}");
    }

    #[test]
    fn names_that_are_alike_but_for_their_ends_do_not_try_each_others_numbers() {
        let stem = "x".repeat(LONGEST - 6);
        let given: Vec<String> = (0..100).map(|nth| format!("{stem}{nth:06}")).collect();
        let given: Vec<&str> = given.iter().map(String::as_str).collect();
        let given = given.repeat(20);
        let (own, tries) = called(given.iter().copied());
        assert_eq!(own[..100], given[..100]);
        assert_apart(&own);
        assert!(tries <= 2 * given.len(), "{tries}");
    }
}
