//! The contract is a reference: whoever reads generated code, in any language, finds a sentence at every message, field,
//! oneof, enum, value, service and rpc.

use std::collections::HashMap;
use std::path::Path;

use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto};

/// Fewer than this is a name said again, not a sentence.
const MIN_WORDS: usize = 2;
const MAX_COLUMNS: usize = 120;

#[test]
fn everything_in_the_contract_has_a_comment() {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let mut seen = 0;
    let mut bare = Vec::new();
    for file in compile(&proto, &proto_files(&proto)) {
        let found = uncommented(&file);
        seen += found.seen;
        bare.extend(found.bare);
    }
    assert!(bare.is_empty(), "without a comment:\n{}", bare.join("\n"));
    assert!(
        seen > 250,
        "only {seen} descriptors were looked at: the walk is broken"
    );
}

#[test]
fn what_has_no_comment_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let sample = r#"
        syntax = "proto3";
        // A message with a comment.
        message Said {
          int32 unsaid = 1;
          // short
          int32 terse = 2;
          // A map, whose entry type is nobody's to comment.
          map<string, string> map = 3;
          // An optional field, whose oneof is not written anywhere.
          optional int32 maybe = 4;
          oneof choice {
            // One of them.
            int32 one = 5;
          }
        }
        enum Mood { MOOD_UNSPECIFIED = 0; }
        // A service with a comment.
        service Says { rpc Unsaid(Said) returns (Said); }
    "#;
    std::fs::write(folder.path().join("sample.proto"), sample).unwrap();
    let files = compile(folder.path(), &["sample.proto".into()]);
    let mut bare = uncommented(&files[0]).bare;
    bare.sort();
    let expected = [
        "sample.proto: Mood",
        "sample.proto: Mood.MOOD_UNSPECIFIED",
        "sample.proto: Said.choice",
        "sample.proto: Said.terse",
        "sample.proto: Said.unsaid",
        "sample.proto: Says.Unsaid",
    ];
    assert_eq!(bare, expected);
}

#[test]
fn contract_lines_fit_the_page() {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    for name in proto_files(&proto) {
        let text = std::fs::read_to_string(proto.join(&name)).unwrap();
        for (index, line) in text.lines().enumerate() {
            let columns = line.chars().count();
            let number = index + 1;
            assert!(
                columns <= MAX_COLUMNS,
                "{name}:{number} has {columns} columns, at most {MAX_COLUMNS} are right"
            );
        }
    }
}

/// The files of the contract, relative to `proto/`: whatever is there, so that a new file is not forgotten.
pub(super) fn proto_files(proto: &Path) -> Vec<String> {
    let folder = proto.join("tidegate/v1");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".proto"))
        .map(|name| format!("tidegate/v1/{name}"))
        .collect();
    files.sort();
    files
}

pub(super) fn compile(root: &Path, files: &[String]) -> Vec<FileDescriptorProto> {
    protox::Compiler::new([root])
        .unwrap()
        .include_source_info(true)
        .include_imports(false)
        .open_files(files)
        .unwrap()
        .file_descriptor_set()
        .file
}

#[derive(Default)]
struct Found {
    seen: usize,
    bare: Vec<String>,
}

fn uncommented(file: &FileDescriptorProto) -> Found {
    let info = file.source_code_info.as_ref().expect("asked for");
    let comments = info
        .location
        .iter()
        .map(|location| (location.path.as_slice(), location.leading_comments()))
        .collect();
    let mut walk = Walk {
        file: file.name(),
        comments,
        found: Found::default(),
    };
    // The numbers are those of descriptor.proto's fields, of which a location's path is made.
    for (index, message) in file.message_type.iter().enumerate() {
        walk.message(&[4, place(index)], message.name(), message);
    }
    for (index, list) in file.enum_type.iter().enumerate() {
        walk.enumeration(&[5, place(index)], list.name(), list);
    }
    for (index, service) in file.service.iter().enumerate() {
        let path = [6, place(index)];
        walk.check(&path, service.name());
        for (index, method) in service.method.iter().enumerate() {
            let name = format!("{}.{}", service.name(), method.name());
            walk.check(&below(&path, 2, index), &name);
        }
    }
    walk.found
}

struct Walk<'a> {
    file: &'a str,
    comments: HashMap<&'a [i32], &'a str>,
    found: Found,
}

impl Walk<'_> {
    fn message(&mut self, path: &[i32], name: &str, message: &DescriptorProto) {
        self.check(path, name);
        for (index, field) in message.field.iter().enumerate() {
            self.check(&below(path, 2, index), &format!("{name}.{}", field.name()));
        }
        for (index, nested) in message.nested_type.iter().enumerate() {
            let is_map_entry = nested
                .options
                .as_ref()
                .is_some_and(|options| options.map_entry());
            if !is_map_entry {
                let nested_name = format!("{name}.{}", nested.name());
                self.message(&below(path, 3, index), &nested_name, nested);
            }
        }
        for (index, list) in message.enum_type.iter().enumerate() {
            let list_name = format!("{name}.{}", list.name());
            self.enumeration(&below(path, 4, index), &list_name, list);
        }
        for (index, oneof) in message.oneof_decl.iter().enumerate() {
            // An `optional` field is a oneof of its own, which nobody wrote.
            let is_written = message
                .field
                .iter()
                .any(|field| field.oneof_index == Some(place(index)) && !field.proto3_optional());
            if is_written {
                self.check(&below(path, 8, index), &format!("{name}.{}", oneof.name()));
            }
        }
    }

    fn enumeration(&mut self, path: &[i32], name: &str, list: &EnumDescriptorProto) {
        self.check(path, name);
        for (index, value) in list.value.iter().enumerate() {
            self.check(&below(path, 2, index), &format!("{name}.{}", value.name()));
        }
    }

    fn check(&mut self, path: &[i32], name: &str) {
        self.found.seen += 1;
        let comment = self.comments.get(path).copied().unwrap_or_default();
        if comment.split_whitespace().count() < MIN_WORDS {
            self.found.bare.push(format!("{}: {name}", self.file));
        }
    }
}

fn below(path: &[i32], field: i32, index: usize) -> Vec<i32> {
    [path, &[field, place(index)]].concat()
}

fn place(index: usize) -> i32 {
    i32::try_from(index).expect("a descriptor has few members")
}
