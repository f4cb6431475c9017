//! What a step's key is made of.

use serde::{Deserialize, Serialize};
use crate::config::ProjectPath;
use crate::facts::{InputFile, InputKind};

/// All that is known before running of what a step's result depends on.
///
/// The cache adds the products of the steps that it needs; the key is the
/// digest of both. The same parts explain a miss: what differs from the last
/// run is the reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// The parts; each subject once, in a fixed order.
    pub parts: Vec<KeyPart>,
}

/// One thing that a result depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPart {
    /// What it is.
    pub subject: Subject,
    /// What it was.
    pub value: PartValue,
}

/// What a part of a key is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Subject {
    /// A command, by its position.
    Command(usize),
    /// The directory that commands run in.
    Directory,
    /// A variable that the commands see.
    Variable(String),
    /// Output of a `tool`.
    Tool(String),
    /// A file that is read.
    Input(ProjectPath),
    /// A pattern of what is made, by its position.
    Output(usize),
    /// The platform that is built for.
    Platform,
    /// The base image.
    Base,
    /// A layer's recipe, by its position.
    Layer(usize),
    /// A setting of the image, by its name in the image's configuration.
    Setting(String),
    /// A test or an expectation, by its name.
    Check(String),
    /// The version of what turns the parts into a result.
    Format,
}

/// What a part of a key was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PartValue {
    /// A text that may be shown.
    Text(String),
    /// BLAKE3 of something that is too large to show.
    Digest([u8; 32]),
}

impl Definition {
    /// Adds a part.
    pub fn text(&mut self, subject: Subject, value: impl Into<String>) {
        self.parts.push(KeyPart { subject, value: PartValue::Text(value.into()) });
    }

    /// Adds a part of which only the digest is kept.
    pub fn digest(&mut self, subject: Subject, digest: [u8; 32]) {
        self.parts.push(KeyPart { subject, value: PartValue::Digest(digest) });
    }

    /// Adds files that are read, each by its path, kind, and content.
    pub fn inputs(&mut self, files: &[InputFile]) {
        for InputFile { path, kind, digest, .. } in files {
            let digest = match kind {
                InputKind::File => *digest,
                InputKind::Executable => blake3::derive_key("hoist 2026-11 executable input", digest),
                InputKind::Symlink => blake3::derive_key("hoist 2026-11 symlink input", digest),
                InputKind::Directory => blake3::derive_key("hoist 2026-11 directory input", digest),
            };
            self.digest(Subject::Input(path.clone()), digest);
        }
    }

    /// The same definition with other files.
    #[must_use]
    pub fn with_inputs(&self, files: &[InputFile]) -> Self {
        let others = self.parts.iter().filter(|part| !matches!(part.subject, Subject::Input(_)));
        let mut definition = Self { parts: others.cloned().collect() };
        definition.inputs(files);
        definition
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Seen;

    fn file(path: &str, kind: InputKind, byte: u8) -> InputFile {
        InputFile { path: ProjectPath::root().join(path).unwrap(), kind, digest: [byte; 32], seen: Seen::default() }
    }

    #[test]
    fn other_files_take_the_place_of_all_earlier_ones() {
        let mut definition = Definition::default();
        definition.text(Subject::Platform, "linux/amd64");
        let mut expected = definition.clone();
        definition.inputs(&[file("a", InputKind::File, 1), file("b", InputKind::File, 2)]);
        expected.inputs(&[file("a", InputKind::File, 3)]);
        assert_eq!(definition.with_inputs(&[file("a", InputKind::File, 3)]), expected);
    }

    #[test]
    fn a_file_that_becomes_executable_is_another_input() {
        let value = |kind| {
            let mut definition = Definition::default();
            definition.inputs(&[file("a", kind, 1)]);
            definition
        };
        assert_ne!(value(InputKind::File), value(InputKind::Executable));
        assert_ne!(value(InputKind::File), value(InputKind::Symlink));
    }
}
