//! Records of people who wrote real documents, keystroke by keystroke. One patch that is lost, doubled or out of order, and
//! the text is another.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use flate2::read::GzDecoder;
use serde::Deserialize;

/// What happened at one place of the text: where, how many characters went, what came.
type Patch = (usize, usize, String);

/// A document as it was written.
pub struct Trace {
    pub name: &'static str,
    /// Each patch as JSON: what a packet carries.
    pub patches: Vec<String>,
    start: String,
    end: String,
}

/// A copy of a document that is being written.
pub struct Copy<'a> {
    trace: &'a Trace,
    text: String,
    patches: usize,
    /// Those among them that did not fit: what came before them is not what was sent.
    misfits: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    start_content: String,
    end_content: String,
    txns: Vec<Transaction>,
}

#[derive(Deserialize)]
struct Transaction {
    patches: Vec<Patch>,
}

impl Trace {
    /// The traces lie beside the repository, in `../shared/traces`.
    pub fn read(name: &'static str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../shared/traces")
            .join(format!("{name}.json.gz"));
        let file = File::open(&path).unwrap_or_else(|error| {
            panic!(
                "the editing trace {} cannot be read ({error}): it comes from github.com/josephg/editing-traces, the ASCII \
                 variants",
                path.display()
            )
        });
        let mut json = String::new();
        GzDecoder::new(file).read_to_string(&mut json).unwrap();
        // Positions count characters, and copies count bytes.
        assert!(json.is_ascii(), "{name} is not the ASCII variant");
        let written: Written = serde_json::from_str(&json).unwrap();
        let patches = written.txns.into_iter().flat_map(|one| one.patches);
        Self {
            name,
            patches: patches
                .map(|patch| serde_json::to_string(&patch).unwrap())
                .collect(),
            start: written.start_content,
            end: written.end_content,
        }
    }

    /// The document after the last patch.
    pub fn end(&self) -> &str {
        &self.end
    }

    /// The document before the first patch.
    pub fn copy(&self) -> Copy<'_> {
        Copy {
            trace: self,
            text: self.start.clone(),
            patches: 0,
            misfits: 0,
        }
    }
}

impl Copy<'_> {
    pub fn apply(&mut self, patch: &str) {
        let (at, deleted, inserted): Patch = serde_json::from_str(patch).unwrap();
        self.patches += 1;
        if at + deleted <= self.text.len() {
            self.text.replace_range(at..at + deleted, &inserted);
        } else {
            self.misfits += 1;
        }
    }

    /// Every patch came once, in order.
    pub fn assert_whole(&self, whose: &str) {
        let name = self.trace.name;
        assert!(
            self.is_whole(),
            "{whose} got {} of the {} patches of {name}, and the text is not what was written",
            self.patches,
            self.trace.patches.len()
        );
    }

    pub fn is_whole(&self) -> bool {
        let all = self.patches == self.trace.patches.len();
        all && self.misfits == 0 && self.text == self.trace.end
    }
}
