//! SECURITY.md names a test for each threat; each of them exists.

use std::path::Path;

#[test]
fn every_threat_has_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("SECURITY.md")).expect("the page");
    let mut found = 0;
    for row in page.lines().filter(|line| line.starts_with("| ")).skip(1) {
        let cell = row.trim_end_matches([' ', '|']).rsplit('|').next();
        let mut words = cell.expect("a cell").split('`').skip(1).step_by(2);
        let file = words.next().unwrap_or_else(|| panic!("no test: {row}"));
        let text = std::fs::read_to_string(root.join(file));
        let text = text.unwrap_or_else(|error| panic!("{file}: {error}"));
        for name in words {
            assert!(text.contains(&format!("fn {name}(")), "{file}: {name}");
            found += 1;
        }
    }
    assert!(found > 20, "{found} tests");
}
