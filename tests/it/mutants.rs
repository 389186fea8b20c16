//! The patches that `make mutants` breaks promises with still apply, so that they do not rot.

use std::path::{Path, PathBuf};
use std::process::Command;

fn patches() -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mutants");
    let files = std::fs::read_dir(folder).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let mut patches: Vec<_> = files
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path, text)
        })
        .collect();
    patches.sort();
    patches
}

#[test]
fn every_mutant_applies_and_says_what_it_breaks() {
    let patches = patches();
    let (mut breaking, mut empty) = (0, 0);
    for (path, text) in &patches {
        let name = path.display();
        if !text.contains("\n--- ") {
            empty += 1;
            continue;
        }
        breaking += 1;
        assert!(
            text.starts_with("Breaks promise "),
            "{name} does not say which promise it breaks"
        );
        let changed = text.lines().filter_map(|line| line.strip_prefix("+++ "));
        for file in changed {
            assert!(file.starts_with("b/src/"), "{name} changes {file}");
        }
        let checked = Command::new("git")
            .args(["apply", "--check"])
            .arg(path)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        let why = String::from_utf8_lossy(&checked.stderr);
        assert!(
            checked.status.success(),
            "{name} does not apply any more: {why}"
        );
    }
    assert!(breaking >= 8, "{breaking} mutants are too few");
    assert_eq!(empty, 1, "one breaks nothing");
}
