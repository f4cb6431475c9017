//! The instructions of the language (Dockerfile reference).

use std::fmt;

/// An instruction's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the instruction of that name")]
pub enum Keyword {
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Label,
    Maintainer,
    Onbuild,
    Run,
    Shell,
    Stopsignal,
    User,
    Volume,
    Workdir,
    /// One that only another frontend knows, see
    /// [`Directives::is_foreign`](crate::dockerfile::Directives::is_foreign).
    Foreign,
}

/// Name, and the flags that it has.
const KNOWN: &[(Keyword, &str, &[&str])] = &[
    (Keyword::Add, "ADD", &["checksum", "chmod", "chown", "exclude", "keep-git-dir", "link", "unpack"]),
    (Keyword::Arg, "ARG", &[]),
    (Keyword::Cmd, "CMD", &[]),
    (Keyword::Copy, "COPY", &["chmod", "chown", "exclude", "from", "link", "parents"]),
    (Keyword::Entrypoint, "ENTRYPOINT", &[]),
    (Keyword::Env, "ENV", &[]),
    (Keyword::Expose, "EXPOSE", &[]),
    (Keyword::From, "FROM", &["platform"]),
    (
        Keyword::Healthcheck,
        "HEALTHCHECK",
        &["interval", "retries", "start-interval", "start-period", "timeout"],
    ),
    (Keyword::Label, "LABEL", &[]),
    (Keyword::Maintainer, "MAINTAINER", &[]),
    (Keyword::Onbuild, "ONBUILD", &[]),
    (Keyword::Run, "RUN", &["device", "mount", "network", "security"]),
    (Keyword::Shell, "SHELL", &[]),
    (Keyword::Stopsignal, "STOPSIGNAL", &[]),
    (Keyword::User, "USER", &[]),
    (Keyword::Volume, "VOLUME", &[]),
    (Keyword::Workdir, "WORKDIR", &[]),
];

impl Keyword {
    /// The one of this name, in any case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        KNOWN.iter().find(|(_, known, _)| known.eq_ignore_ascii_case(name)).map(|(keyword, ..)| *keyword)
    }

    /// All names, in upper case.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        KNOWN.iter().map(|(_, name, _)| *name)
    }

    fn known(self) -> Option<&'static (Self, &'static str, &'static [&'static str])> {
        KNOWN.iter().find(|(keyword, ..)| *keyword == self)
    }

    /// The flags that it has, without `--`.
    pub(super) fn flags(self) -> &'static [&'static str] {
        self.known().map_or(&[], |(.., flags)| flags)
    }

    /// Whether here-documents are read in it.
    pub(super) const fn takes_heredocs(self) -> bool {
        matches!(self, Self::Add | Self::Copy | Self::Run)
    }
}

impl fmt::Display for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.known().map_or("?", |(_, name, _)| *name))
    }
}
