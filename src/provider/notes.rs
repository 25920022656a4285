use std::{borrow::Cow, fmt, sync::Arc};

use http::HeaderMap;

use crate::{
    announce,
    error::{Error, Kind},
    parse::Chat,
};

/// What becomes of a parameter that a provider has no counterpart of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsupported {
    /// Dropped and announced where the answer means the same without it, refused where it does not.
    #[default]
    ByMeaning,
    /// Refused: 400 `unsupported_parameter`.
    Refuse,
    /// Dropped and announced, even if the answer then means something else.
    Drop,
}

/// The parameter contract of a provider: what it cannot be given is refused, or dropped and
/// announced in the response header `x-params-dropped`, never silently lost.
///
/// ```
/// use tower_completions::provider::{Contract, Unsupported};
///
/// let contract = Contract::new(Unsupported::ByMeaning)
///     .with("seed", Unsupported::Refuse)
///     .with("logit_bias", Unsupported::Drop);
/// assert_eq!(contract.of("seed"), Unsupported::Refuse);
/// assert_eq!(contract.of("user"), Unsupported::ByMeaning);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Contract {
    all: Unsupported,
    each: Arc<Vec<(Box<str>, Unsupported)>>,
}

impl Contract {
    /// One rule for every parameter. Default: [`Unsupported::ByMeaning`].
    pub fn new(all: Unsupported) -> Self {
        Self {
            all,
            each: Arc::default(),
        }
    }

    /// Another rule for one parameter, by its name at the top level of the request.
    pub fn with(mut self, param: impl Into<Box<str>>, rule: Unsupported) -> Self {
        Arc::make_mut(&mut self.each).push((param.into(), rule));
        self
    }

    /// The rule for a parameter, or for what lies inside it: `messages[0].name` goes by `messages`
    /// unless it has a rule under its whole path. The last rule given wins.
    #[must_use]
    pub fn of(&self, param: &str) -> Unsupported {
        let top = param.split(['.', '[']).next().unwrap_or(param);
        let find = |wanted: &str| {
            let mut rules = self.each.iter().rev();
            rules.find(|(name, _)| **name == *wanted)
        };
        find(param)
            .or_else(|| find(top))
            .map_or(self.all, |(_, rule)| *rule)
    }
}

/// What a translation has to say beside its request: each parameter that does not reach the
/// provider as the client sent it.
///
/// The provider's shell puts them into the response, of a stream as well: names that were dropped
/// into `x-params-dropped`, names whose value was changed into `x-params-mapped`. Inside a list the
/// index is left out (`messages[].name`): one name stands for all.
///
/// ```
/// use tower_completions::provider::Notes;
///
/// let mut notes = Notes::default();
/// notes.without("seed")?;
/// notes.changed("temperature");
/// assert_eq!(notes.dropped(), ["seed"]);
/// let error = notes.unsupported("n").expect_err("one answer is not two");
/// assert_eq!((error.param(), error.code()), (Some("n"), Some("unsupported_parameter")));
/// # Ok::<(), tower_completions::Error>(())
/// ```
#[derive(Default)]
pub struct Notes {
    contract: Contract,
    /// What the client did not ask for: nothing is told of it, and nothing refused.
    defaults: Vec<Box<str>>,
    dropped: Vec<Cow<'static, str>>,
    mapped: Vec<Cow<'static, str>>,
}

impl Notes {
    /// None yet, under a contract.
    #[must_use]
    pub const fn new(contract: Contract) -> Self {
        Self {
            contract,
            defaults: Vec::new(),
            dropped: Vec::new(),
            mapped: Vec::new(),
        }
    }

    /// Those of a request. What a dialect put into it was not asked for, and goes without a word where
    /// it has no place.
    pub(crate) fn of(contract: Contract, chat: &Chat) -> Self {
        let mut notes = Self::new(contract);
        notes.defaults.extend(chat.defaults().map(Box::from));
        notes
    }

    /// Whether a member was put in for a client that did not ask for it.
    pub(super) fn is_default(&self, param: &str) -> bool {
        self.defaults.iter().any(|name| **name == *param)
    }

    /// A parameter without which the answer means the same: dropped and announced.
    ///
    /// # Errors
    /// The contract says to refuse it.
    pub fn without(&mut self, param: impl Into<Cow<'static, str>>) -> Result<(), Error> {
        let param = param.into();
        if self.is_default(&param) {
            return Ok(());
        }
        match self.contract.of(&param) {
            Unsupported::Refuse => Err(unsupported(param)),
            _ => {
                once(&mut self.dropped, param);
                Ok(())
            }
        }
    }

    /// A parameter without which the answer would mean something else: refused. `Ok` when the
    /// contract says to drop it all the same; it is announced then, and to be left out.
    ///
    /// # Errors
    /// 400 `unsupported_parameter`.
    pub fn unsupported(&mut self, param: impl Into<Cow<'static, str>>) -> Result<(), Error> {
        let param = param.into();
        if self.is_default(&param) {
            return Ok(());
        }
        match self.contract.of(&param) {
            Unsupported::Drop => {
                once(&mut self.dropped, bare(param));
                Ok(())
            }
            _ => Err(unsupported(param)),
        }
    }

    /// A parameter that goes to the provider with another value or by another means: announced. A
    /// mere other name or unit is not worth telling.
    pub fn changed(&mut self, param: impl Into<Cow<'static, str>>) {
        let param = param.into();
        if !self.is_default(&param) {
            once(&mut self.mapped, param);
        }
    }

    /// What was dropped, in order, each once.
    #[must_use]
    pub fn dropped(&self) -> &[Cow<'static, str>] {
        &self.dropped
    }

    /// What was changed, in order, each once.
    #[must_use]
    pub fn mapped(&self) -> &[Cow<'static, str>] {
        &self.mapped
    }

    /// Announces them.
    pub(super) fn write_headers(&self, headers: &mut HeaderMap) {
        announce::add(headers, announce::DROPPED, &self.dropped);
        announce::add(headers, announce::MAPPED, &self.mapped);
    }
}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notes")
            .field("dropped", &self.dropped)
            .field("mapped", &self.mapped)
            .finish_non_exhaustive()
    }
}

fn once(names: &mut Vec<Cow<'static, str>>, param: Cow<'static, str>) {
    if !names.contains(&param) {
        names.push(param);
    }
}

/// A path with its indexes left out.
fn bare(param: Cow<'static, str>) -> Cow<'static, str> {
    if !param.contains('[') {
        return param;
    }
    let mut inside = false;
    let kept = param.chars().filter(|c| {
        inside = *c == '[' || (inside && *c != ']');
        !inside || *c == '['
    });
    kept.collect::<String>().into()
}

/// The refusal of a parameter that a provider has no counterpart of.
pub(super) fn unsupported(param: impl Into<Cow<'static, str>>) -> Error {
    let param = param.into();
    let message = format!("`{param}` is not supported by this model's provider.");
    Error::new(Kind::Format, message)
        .with_param(param)
        .with_code("unsupported_parameter")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_decides() {
        for (rule, harmless, meant) in [
            (Unsupported::ByMeaning, true, false),
            (Unsupported::Refuse, false, false),
            (Unsupported::Drop, true, true),
        ] {
            let mut notes = Notes::new(Contract::new(rule));
            assert_eq!(notes.without("seed").is_ok(), harmless, "{rule:?}");
            assert_eq!(notes.unsupported("n").is_ok(), meant, "{rule:?}");
            assert_eq!(
                notes.dropped().len(),
                usize::from(harmless) + usize::from(meant)
            );
        }
    }

    #[test]
    fn nothing_is_told_of_what_nobody_asked_for() {
        for rule in [
            Unsupported::ByMeaning,
            Unsupported::Refuse,
            Unsupported::Drop,
        ] {
            let mut chat = Chat::parse("{}".into()).expect("a request");
            chat.set_default("top_p", "1");
            chat.set_default("temperature", "0.7");
            let mut notes = Notes::of(Contract::new(rule), &chat);
            notes.unsupported("temperature").expect("left out");
            notes.without("temperature").expect("left out");
            notes.changed("top_p");
            assert!(notes.dropped().is_empty() && notes.mapped().is_empty());
            chat.set("top_p", "0.5");
            let mut notes = Notes::of(Contract::new(rule), &chat);
            notes.changed("top_p");
            assert_eq!(notes.mapped(), ["top_p"]);
        }
    }

    #[test]
    fn a_path_goes_by_its_own_rule_or_its_members() {
        let contract = Contract::default()
            .with("messages", Unsupported::Drop)
            .with("messages[].name", Unsupported::Refuse);
        let mut notes = Notes::new(contract);
        assert!(notes.without("messages[].name").is_err());
        for at in 0..3 {
            let path = format!("messages[{at}].content[7]");
            notes.unsupported(path).expect("dropped");
        }
        assert_eq!(notes.dropped(), ["messages[].content[]"]);
    }
}
