//! Imports point downwards only: the levels of the crate, and a check that they hold.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Each top-level module of the crate with its level. A module may use those of lower levels, and
/// its neighbours only where `NEIGHBOURS` says so.
const LEVELS: &[(&str, u8)] = &[
    ("wire", 0),
    ("sse", 0),
    ("announce", 1),
    ("body", 1),
    ("dialect", 1),
    ("error", 1),
    ("ext", 1),
    ("facts", 1),
    ("hint", 1),
    ("id", 1),
    ("media", 1),
    ("observe", 1),
    ("retry", 1),
    ("text", 1),
    ("time", 1),
    ("tls", 1),
    ("wakers", 1),
    ("zone", 1),
    ("meter", 2),
    ("parse", 2),
    ("auth", 3),
    ("cache", 3),
    ("cost", 3),
    ("idempotency", 3),
    ("limit", 3),
    ("reframe", 3),
    ("telemetry", 3),
    ("validate", 3),
    ("provider", 4),
    ("messages", 5),
    ("models", 5),
    ("router", 5),
    ("guide", 6),
    ("stack", 6),
    ("mock", 6),
];

/// Modules of one level that may use one another: a value type and what answers with it.
const NEIGHBOURS: &[(&str, &str)] = &[
    ("error", "body"),
    ("error", "dialect"),
    ("ext", "error"),
    ("ext", "id"),
    ("observe", "error"),
    ("observe", "ext"),
    ("sse", "wire"),
    ("stack", "mock"),
];

fn level(module: &str) -> u8 {
    LEVELS
        .iter()
        .find(|(name, _)| *name == module)
        .unwrap_or_else(|| panic!("`{module}` has no level: give it one, it is a design decision"))
        .1
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("src is readable") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

/// The top-level modules that the code of a file names after `crate::`, comments aside.
fn imports(text: &str) -> Vec<String> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 1;
            let mut name = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                if depth == 0 || (depth == 1 && c == ',') {
                    found.push(std::mem::take(&mut name));
                    if depth == 0 {
                        break;
                    }
                } else {
                    name.push(c);
                }
            }
        } else {
            found.push(rest.to_owned());
        }
    }
    found
        .iter()
        .map(|path| {
            path.trim()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect()
        })
        .filter(|name: &String| !name.is_empty())
        .collect()
}

#[test]
fn imports_point_downwards() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut wrong = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&src).expect("under src");
        let module = inside.iter().next().expect("a name").to_string_lossy();
        let module = module.trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        for used in imports(&fs::read_to_string(&file).expect("readable")) {
            // What the crate root re-exports is named there; inside, the full path is asked for.
            if used.chars().next().is_some_and(char::is_uppercase) {
                wrong.push(format!(
                    "{}: crate::{used} by its short name",
                    inside.display()
                ));
                continue;
            }
            let down = level(&used) < level(module);
            if used != module && !down && !NEIGHBOURS.contains(&(module, &used)) {
                wrong.push(format!("{}: crate::{used}", inside.display()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "imports that do not point downwards:\n{}",
        wrong.join("\n")
    );
}

/// The fuzz target of the configuration is made of the example's own files, which nothing else builds: it
/// has each that they name.
#[test]
fn the_fuzz_target_has_all_of_the_example_that_it_is_made_of() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Ok(target) = fs::read_to_string(root.join("fuzz/fuzz_targets/config.rs")) else {
        return; // The published package comes without.
    };
    let example = root.join("examples/gateway");
    let mut missing = Vec::new();
    for line in target.lines() {
        let Some(name) = line
            .strip_prefix("mod ")
            .and_then(|it| it.strip_suffix(';'))
        else {
            continue;
        };
        let mut files = Vec::new();
        match example.join(name) {
            folder if folder.is_dir() => sources(&folder, &mut files),
            file => files.push(file.with_extension("rs")),
        }
        for file in files {
            for used in imports(&fs::read_to_string(file).expect("readable")) {
                if !target.contains(&format!("\nmod {used};\n")) {
                    missing.push(format!("{name}: crate::{used}"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "not in the target: {missing:?}");
}

#[test]
fn the_check_sees_imports() {
    let text = "use crate::{error::{Error, Kind}, body::Full};\n// crate::stack\nlet x = crate::router::Y;";
    assert_eq!(imports(text), ["error", "body", "router"]);
}
