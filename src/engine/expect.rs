//! Whether what is expected of an image, or of a test in it, holds.

use regex::Regex;

use crate::config::Expect;
use crate::engine::command::request;
use crate::engine::{Ended, Output};
use crate::oci::{ContainerConfig, FileTree};

/// What an expectation is held against.
pub(super) struct Subject<'a> {
    pub(super) config: &'a ContainerConfig,
    pub(super) tree: &'a FileTree,
    /// How a command ended and what it wrote, where there was one.
    pub(super) run: Option<(Ended, &'a Output)>,
}

/// Why an expectation does not hold: what is so instead. `None` if it holds.
pub(super) fn check(expect: &Expect, subject: &Subject<'_>) -> Option<String> {
    let Subject { config, tree, run } = subject;
    let written = |stream: &[u8], text: &str| String::from_utf8_lossy(stream).contains(text);
    match expect {
        Expect::Exit(status) => match run.as_ref().map(|(ended, _)| *ended) {
            Some(Ended::Exited(found)) if found == *status => None,
            ended => Some(format!("expected exit status {status}, {}", how(ended))),
        },
        Expect::Stdout(text) | Expect::Stderr(text) => {
            let text = text.literal().unwrap_or_default();
            let (name, stream) = match (expect, run) {
                (_, None) => return Some("only a test has output".to_owned()),
                (Expect::Stdout(_), Some((_, output))) => ("stdout", &output.stdout),
                (_, Some((_, output))) => ("stderr", &output.stderr),
            };
            (!written(stream, &text)).then(|| format!("{name} does not contain `{text}`"))
        }
        Expect::StdoutMatches(expression) | Expect::StderrMatches(expression) => {
            let (name, stream) = match (expect, run) {
                (_, None) => return Some("only a test has output".to_owned()),
                (Expect::StdoutMatches(_), Some((_, output))) => ("stdout", &output.stdout),
                (_, Some((_, output))) => ("stderr", &output.stderr),
            };
            let text = String::from_utf8_lossy(stream);
            // Nobody thinks of the end of the last line, nor does a shell in `$(…)`.
            let text = text.strip_suffix('\n').map_or(&*text, |text| text.strip_suffix('\r').unwrap_or(text));
            let matches = Regex::new(expression).is_ok_and(|regex| regex.is_match(text));
            (!matches).then(|| format!("{name} does not match `{expression}`"))
        }
        Expect::Http(_) => {
            let (asked, answers) = (request(expect), run.as_ref().map(|(_, output)| &output.answers));
            let answer = answers.into_iter().flatten().find(|(request, _)| asked.as_ref() == Some(request));
            answer.map_or_else(|| Some("nothing was asked".to_owned()), |(_, unmet)| unmet.clone())
        }
        Expect::User { name, not } => {
            let user = config.user.as_deref().unwrap_or_default();
            let same = is_user(user, name);
            let shown = if user.is_empty() { "root" } else { user };
            (same == *not).then(|| format!("the image's user is `{shown}`"))
        }
        Expect::Label(name, value) => match (config.labels.get(name), value) {
            (None, _) => Some(format!("the image has no label `{name}`")),
            (Some(found), Some(value)) if found != value => Some(format!("the label `{name}` is `{found}`")),
            _ => None,
        },
        Expect::File(path) => {
            let found = tree.resolve(path.as_bytes());
            let is_directory = found.and_then(|found| {
                if found.is_empty() {
                    Some(true)
                } else {
                    tree.get(&found).map(|node| node.kind.is_directory())
                }
            });
            match (is_directory, path.ends_with('/')) {
                (Some(true), true) | (Some(false), false) => None,
                (Some(true), false) => Some(format!("`{path}` is a directory: `{path}/` names one")),
                (Some(false), true) => Some(format!("`{path}` is no directory")),
                (None, true) => Some(format!("the image has no directory `{path}`")),
                (None, false) => Some(format!("the image has no file `{path}`")),
            }
        }
        Expect::Port(port) => {
            let named = |exposed: &String| exposed.split('/').next() == Some(&port.to_string());
            let ports: Vec<&str> = config.exposed_ports.keys().map(String::as_str).collect();
            let shown =
                if ports.is_empty() { "no port".to_owned() } else { format!("`{}`", ports.join("`, `")) };
            (!config.exposed_ports.keys().any(named)).then(|| format!("the image exposes {shown}"))
        }
    }
}

/// How a command ended, for people.
pub(super) fn how(ended: Option<Ended>) -> String {
    match ended {
        Some(Ended::Exited(status)) => format!("got {status}"),
        Some(Ended::Signalled(signal)) => format!("killed by signal {signal}"),
        Some(Ended::TimedOut) => "did not end in time".to_owned(),
        Some(Ended::Stopped) => "stopped".to_owned(),
        None => "nothing was run".to_owned(),
    }
}

/// Whether the `User` of an image is the one of this name. Root has three names.
fn is_user(user: &str, name: &str) -> bool {
    let plain = |user: &str| match user.split(':').next().unwrap_or_default() {
        "" | "0" => "root".to_owned(),
        other => other.to_owned(),
    };
    if name.contains(':') { user == name } else { plain(user) == plain(name) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::{NodeKind, Nothing};

    fn failure(expect: &Expect) -> Option<String> {
        let config = ContainerConfig {
            user: Some("app:app".to_owned()),
            exposed_ports: [("8080/tcp".to_owned(), Nothing {})].into(),
            labels: [("a".to_owned(), "1".to_owned())].into(),
            ..ContainerConfig::default()
        };
        let mut tree = FileTree::default();
        tree.insert(b"usr/bin/x", NodeKind::File, 1);
        tree.insert(b"bin", NodeKind::Symlink(b"usr/bin".to_vec()), 0);
        let output = Output { stdout: b"no issues\nin 12 files\n".to_vec(), ..Output::default() };
        check(expect, &Subject { config: &config, tree: &tree, run: Some((Ended::Exited(1), &output)) })
    }

    fn user(name: &str, not: bool) -> Expect {
        Expect::User { name: name.to_owned(), not }
    }

    #[test]
    fn what_holds_is_not_complained_about() {
        for holds in [
            Expect::Exit(1),
            Expect::StdoutMatches("(?m)^in [0-9]+ files$".to_owned()),
            Expect::StdoutMatches("^no issues\nin 12 files$".to_owned()),
            Expect::StderrMatches("^$".to_owned()),
            user("app", false),
            user("app:app", false),
            user("root", true),
            Expect::Label("a".to_owned(), None),
            Expect::Label("a".to_owned(), Some("1".to_owned())),
            Expect::File("/bin/x".to_owned()),
            Expect::File("/".to_owned()),
            Expect::File("/usr/bin/".to_owned()),
            Expect::File("/bin/".to_owned()),
            Expect::Port(8080),
        ] {
            assert_eq!(failure(&holds), None, "{holds:?}");
        }
    }

    #[test]
    fn what_does_not_hold_is_answered_with_what_is_so() {
        let is = |expect: Expect, text: &str| assert_eq!(failure(&expect).as_deref(), Some(text));
        is(Expect::Exit(0), "expected exit status 0, got 1");
        is(Expect::StdoutMatches("^in".to_owned()), "stdout does not match `^in`");
        is(Expect::StdoutMatches("^$".to_owned()), "stdout does not match `^$`");
        is(Expect::StderrMatches("in".to_owned()), "stderr does not match `in`");
        is(user("app", true), "the image's user is `app:app`");
        is(user("0", false), "the image's user is `app:app`");
        is(Expect::Label("b".to_owned(), None), "the image has no label `b`");
        is(Expect::Label("a".to_owned(), Some("2".to_owned())), "the label `a` is `1`");
        is(Expect::File("/bin/y".to_owned()), "the image has no file `/bin/y`");
        is(Expect::File("/lib/".to_owned()), "the image has no directory `/lib/`");
        is(Expect::File("/bin/x/".to_owned()), "`/bin/x/` is no directory");
        let directory = "`/usr/bin` is a directory: `/usr/bin/` names one";
        is(Expect::File("/usr/bin".to_owned()), directory);
        is(Expect::Port(80), "the image exposes `8080/tcp`");
    }

    #[test]
    fn root_has_three_names() {
        for user in ["", "0", "root", "0:0", "root:root"] {
            assert!(is_user(user, "root") && is_user(user, "0") && !is_user(user, "app"), "{user}");
        }
    }
}
