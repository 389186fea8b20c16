//! The files of the project.

use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(super) struct Text {
    /// From the root of the repository.
    pub(super) path: PathBuf,
    pub(super) text: String,
}

pub(super) fn rust_files() -> Vec<Text> {
    let mut files = text_files();
    files.retain(|file| {
        file.path
            .extension()
            .is_some_and(|extension| extension == "rs")
    });
    assert!(
        files.len() > 20,
        "only {} files were found: the walk is broken",
        files.len()
    );
    files
}

/// Every text file that belongs to the project.
pub(super) fn text_files() -> Vec<Text> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name();
            let kind = entry.file_type().unwrap();
            if IGNORED.iter().any(|ignored| name == *ignored)
                || entry
                    .path()
                    .extension()
                    .is_some_and(|ends| ends == "egg-info")
            {
                continue;
            }
            if kind.is_dir() {
                folders.push(entry.path());
                continue;
            }
            // What is not text is data.
            if let Ok(text) = std::fs::read_to_string(entry.path()) {
                let path = entry.path().strip_prefix(root).unwrap().to_owned();
                files.push(Text { path, text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// As in .gitignore, and git's own.
const IGNORED: [&str; 8] = [
    ".git",
    "target",
    "node_modules",
    "tidegate-data",
    "__pycache__",
    ".venv",
    "build",
    "dist",
];

/// The files that a `#[cfg(test)] mod name;` of this file may stand for.
pub(super) fn test_modules(file: &Text) -> Vec<PathBuf> {
    let is_mod = ["mod.rs", "lib.rs", "main.rs"]
        .iter()
        .any(|name| file.path.ends_with(name));
    let folder = if is_mod {
        file.path.parent().expect("it is a file").to_owned()
    } else {
        file.path.with_extension("")
    };
    let mut lines = file.text.lines().map(str::trim).peekable();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        if line != "#[cfg(test)]" {
            continue;
        }
        let declared = lines.peek().and_then(|next| next.strip_suffix(';'));
        let Some(name) = declared.and_then(|item| item.strip_prefix("mod ")) else {
            continue;
        };
        found.push(folder.join(format!("{name}.rs")));
        found.push(folder.join(name).join("mod.rs"));
    }
    found
}
