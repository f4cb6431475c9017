//! What the log of a CI system understands beside text.

use std::borrow::Cow;

use crate::diagnostic::{Problems, Sources};
use crate::facts::any_number;
use crate::report::diagnostic::faults;
use crate::run::Fault;

/// A CI system whose log can be folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// GitHub Actions, and what speaks its workflow commands, as Forgejo does.
    GitHub,
    /// GitLab CI.
    GitLab,
}

/// A group of lines that is open.
#[derive(Debug)]
pub(super) struct Group {
    close: String,
}

impl Dialect {
    /// Begins a group that is folded; `number` tells it from all others of the
    /// log, `time` is in seconds since 1970.
    pub(super) fn group(self, title: &str, number: usize, time: i64) -> (String, Group) {
        match self {
            Self::GitHub => {
                (format!("::group::{}\n", data(title)), Group { close: "::endgroup::\n".to_owned() })
            }
            Self::GitLab => {
                let name = format!("hoist_{number}");
                let title = title.replace(['\r', '\n'], " ");
                let open =
                    format!("\u{1b}[0Ksection_start:{time}:{name}[collapsed=true]\r\u{1b}[0K{title}\n");
                (open, Group { close: format!("\u{1b}[0Ksection_end:{time}:{name}\r\u{1b}[0K\n") })
            }
        }
    }

    /// What makes the log take the following lines for text alone, and what ends
    /// that.
    ///
    /// GitHub's own way is a word that nobody can guess who writes these lines: it
    /// is made anew each time.
    pub(super) fn fence(self) -> (String, String) {
        match self {
            Self::GitHub => {
                let token = format!("{:016x}{:016x}", any_number(), any_number());
                (format!("::stop-commands::{token}\n"), format!("::{token}::\n"))
            }
            Self::GitLab => (String::new(), String::new()),
        }
    }

    /// A line that others wrote, such that it cannot be taken for a mark of the
    /// log. Behind a [`Dialect::fence`], nothing else of a line matters.
    pub(super) fn harmless(self, line: &str) -> Cow<'_, str> {
        match self {
            // Of a log that is kept, the viewer reads marks again in this form.
            Self::GitHub if line.contains("##[") => Cow::Owned(line.replace("##[", "##\u{200b}[")),
            // A mark ends with a carriage return and an escape.
            Self::GitLab if line.contains("section_") && line.contains('\r') => {
                Cow::Owned(line.replace('\r', ""))
            }
            _ => Cow::Borrowed(line),
        }
    }

    /// Shows problems where they are in the files of the repository, as
    /// [`annotation`](Self::annotation) shows one.
    #[must_use]
    pub fn annotations(self, problems: &Problems, sources: &Sources, above: &str) -> String {
        faults(problems, sources).iter().map(|fault| self.annotation(fault, above)).collect()
    }

    /// Shows a problem where it is in the files of the repository; `above` is the
    /// path from its top to the project, empty or with a `/` at its end. Empty
    /// where the system has no such thing.
    pub(super) fn annotation(self, fault: &Fault, above: &str) -> String {
        if self == Self::GitLab {
            return String::new();
        }
        let mut properties = Vec::new();
        // The command line and the like are no files.
        if let Some(place) = fault.labels.iter().find(|place| place.file != "command line") {
            properties.push(format!("file={}", property(&format!("{above}{}", place.file))));
            properties.push(format!("line={}", place.line));
            if place.end_line > 0 {
                properties.push(format!("endLine={}", place.end_line));
            }
            properties.push(format!("col={}", place.column));
            // Columns count only within one line.
            if place.end_line == place.line {
                properties.push(format!("endColumn={}", place.end_column));
            }
        }
        properties.push(format!("title={}", property(&fault.code)));
        let mut message = fault.title.clone();
        let label = fault.labels.first().map(|place| place.text.as_str()).filter(|text| !text.is_empty());
        message.extend(label.map(|label| format!(": {label}")));
        message.extend(fault.help.iter().map(|help| format!("\nhelp: {help}")));
        message.extend(fault.notes.iter().map(|note| format!("\n{}", console::strip_ansi_codes(note))));
        format!("::error {}::{}\n", properties.join(","), data(&message))
    }
}

impl Group {
    /// What ends the group.
    pub(super) fn close(self) -> String {
        self.close
    }
}

/// The text as the value of a workflow command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The text as the value of a property of one.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::failed;
    use crate::run::Outcome;

    fn fault() -> Fault {
        match failed("100% of `a,b` failed") {
            Outcome::Failed { mut problems } => problems.remove(0),
            _ => unreachable!(),
        }
    }

    #[test]
    fn an_annotation_points_into_the_repository_with_all_escaped() {
        let mut fault = fault();
        fault.notes = vec!["::error::\u{1b}[31mno\u{1b}[0m\r".into()];
        let expected = "::error file=a%2Cb/release.kdl,line=3,endLine=4,col=5,\
                        title=hoist%3A%3Arun%3A%3Acommand_failed::100%25 of `a,b` failed: exit status 1%0A\
                        help: mend it%0A::error::no%0D\n";
        assert_eq!(Dialect::GitHub.annotation(&fault, "a,b/"), expected);
        assert_eq!(Dialect::GitLab.annotation(&fault, ""), "");
        fault.labels[0].file = "command line".into();
        fault.notes.clear();
        assert!(Dialect::GitHub.annotation(&fault, "").starts_with("::error title="), "no file");
    }

    #[test]
    fn groups_are_as_the_systems_write_them() {
        let (open, group) = Dialect::GitHub.group("ok a\n100%", 1, 7);
        assert_eq!((open.as_str(), group.close().as_str()), ("::group::ok a%0A100%25\n", "::endgroup::\n"));
        let (open, group) = Dialect::GitLab.group("ok a", 3, 7);
        assert_eq!(open, "\u{1b}[0Ksection_start:7:hoist_3[collapsed=true]\r\u{1b}[0Kok a\n");
        assert_eq!(group.close(), "\u{1b}[0Ksection_end:7:hoist_3\r\u{1b}[0K\n");
    }

    #[test]
    fn a_fence_is_another_one_each_time_and_marks_in_a_line_are_none() {
        let (first, second) = (Dialect::GitHub.fence(), Dialect::GitHub.fence());
        assert_ne!(first, second);
        assert_eq!(
            first.0.trim_end().strip_prefix("::stop-commands::"),
            first.1.trim_end().strip_prefix("::").and_then(|it| it.strip_suffix("::"))
        );
        assert_eq!(Dialect::GitHub.harmless("x ##[endgroup]"), "x ##\u{200b}[endgroup]");
        let mark = "\u{1b}[0Ksection_end:1:hoist_1\r\u{1b}[0K";
        assert!(!Dialect::GitLab.harmless(mark).contains('\r'));
        assert_eq!(Dialect::GitLab.harmless("50%\r100%"), "50%\r100%");
    }
}
