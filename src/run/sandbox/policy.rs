//! What a target may do with a path of the project, by what it declares.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use globset::{GlobBuilder, GlobMatcher};

use crate::config::Pattern;
use crate::run::sandbox::deed::{Doing, Opening, There};

/// What is decided on something that a command wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The kernel decides, and allows it, or has another reason to refuse.
    Pass,
    /// It is allowed, and the rules of the kernel are too coarse to say so: the
    /// file is opened on behalf of the command.
    Open,
    /// It is denied.
    Deny,
}

/// What a target declares, as paths relative to the project.
#[derive(Clone, Debug, Default)]
pub(super) struct Policy {
    /// Files that are read.
    pub(super) inputs: HashSet<PathBuf>,
    /// Directories that are listed with all those below.
    pub(super) listed: Vec<PathBuf>,
    /// What is made.
    pub(super) outputs: Outputs,
    /// Directories in which outputs are made, the part without wildcards.
    pub(super) beside: HashSet<PathBuf>,
    /// Of those, where the kernel allows everything: nothing else lies there.
    pub(super) open: Vec<PathBuf>,
    /// Of those, where a pattern has wildcards for directories.
    pub(super) deep: Vec<PathBuf>,
    /// All that lies above what is declared, once it was asked for.
    pub(super) above: OnceLock<HashSet<PathBuf>>,
}

/// Patterns of outputs. One that matches a directory means all below it.
#[derive(Clone, Debug, Default)]
pub(super) struct Outputs(Vec<(GlobMatcher, bool)>);

impl Outputs {
    /// Compiles patterns; one that is no glob was refused before, and is left out.
    pub(super) fn new(patterns: &[Pattern]) -> Self {
        let compile = |pattern: &Pattern| {
            let text = pattern.glob.value.trim_start_matches("./").trim_end_matches('/');
            let glob = GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build().ok()?;
            Some((glob.compile_matcher(), pattern.negated))
        };
        Self(patterns.iter().filter_map(compile).collect())
    }

    /// Whether a path is an output, or lies in one.
    pub(super) fn cover(&self, path: &Path) -> bool {
        let mut last = self.0.iter().rev().filter(|(glob, _)| path.ancestors().any(|it| glob.is_match(it)));
        last.next().is_some_and(|(_, negated)| !negated)
    }
}

impl Policy {
    /// Decides. `made` is what the command made itself so far, beside outputs.
    pub(super) fn decide(&self, path: &Path, there: There, doing: Doing, made: &HashSet<PathBuf>) -> Verdict {
        let nothing = there == There::Nothing;
        match doing {
            Doing::Look => Verdict::Pass,
            Doing::Read | Doing::Execute | Doing::List | Doing::Remove if nothing => Verdict::Pass,
            Doing::List => self.list(path),
            Doing::Read | Doing::Execute if self.inputs.contains(path) => Verdict::Pass,
            Doing::Read if self.is_own(path, made) => self.own(path),
            // A program is started by the kernel alone.
            Doing::Execute if self.is_own(path, made) && self.is_open(path) => Verdict::Pass,
            Doing::Write(opening) => self.write(path, there, opening, made),
            Doing::MakeDirectory if !nothing || self.may_make_directory(path) => Verdict::Pass,
            Doing::Remove if there == There::Directory && self.outputs.cover(path) => Verdict::Pass,
            Doing::Make | Doing::Remove if there != There::Directory && self.may_replace(path) => {
                Verdict::Pass
            }
            _ => Verdict::Deny,
        }
    }

    /// Whether the path of something that is declared leads through this one.
    pub(super) fn leads_through(&self, link: &Path) -> bool {
        let above = || {
            let declared = self.listed.iter().chain(&self.inputs).chain(&self.open).chain(&self.beside);
            declared.flat_map(|path| path.ancestors()).map(Path::to_owned).collect()
        };
        self.above.get_or_init(above).contains(link)
    }

    fn list(&self, path: &Path) -> Verdict {
        if self.listed.iter().any(|listed| path.starts_with(listed)) {
            Verdict::Pass
        } else if self.outputs.cover(path) || self.deep.iter().any(|deep| path.starts_with(deep)) {
            self.own(path)
        } else {
            Verdict::Deny
        }
    }

    fn write(&self, path: &Path, there: There, opening: Opening, made: &HashSet<PathBuf>) -> Verdict {
        if there == There::Nothing && !opening.create || there == There::Directory {
            return Verdict::Pass;
        }
        // What another target left, and what is only replaced, is not read.
        let unread = there == There::Nothing || opening.truncate || !opening.read;
        if self.is_own(path, made) || self.may_replace(path) && unread {
            self.own(path)
        } else {
            Verdict::Deny
        }
    }

    /// Whether something may be put or taken away under this name: an output, or
    /// something that comes and goes beside one; not what is read.
    fn may_replace(&self, path: &Path) -> bool {
        let is_beside = path.parent().is_some_and(|parent| self.beside.contains(parent));
        self.outputs.cover(path) || is_beside && !self.inputs.contains(path)
    }

    /// Whether a directory is an output, or one that outputs can lie below.
    fn may_make_directory(&self, path: &Path) -> bool {
        let deep = || self.deep.iter().any(|deep| path.starts_with(deep));
        self.outputs.cover(path) || deep() || self.beside.iter().any(|beside| beside.starts_with(path))
    }

    fn is_own(&self, path: &Path, made: &HashSet<PathBuf>) -> bool {
        self.outputs.cover(path) || made.contains(path)
    }

    fn own(&self, path: &Path) -> Verdict {
        if self.is_open(path) { Verdict::Pass } else { Verdict::Open }
    }

    fn is_open(&self, path: &Path) -> bool {
        self.open.iter().any(|open| path.starts_with(open))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{Sources, Span, Spanned};

    const READ: Doing = Doing::Read;

    fn patterns(globs: &[&str]) -> Vec<Pattern> {
        let span = Span::new(Sources::new().add("release.kdl", ""), 0..0);
        let pattern = |glob: &&str| Pattern {
            glob: Spanned::new(glob.trim_start_matches('!').to_owned(), span),
            negated: glob.starts_with('!'),
        };
        globs.iter().map(pattern).collect()
    }

    /// Reads `src/a`, lists `src`; makes `app`, `out/*.o` beside other files, and
    /// `dist` alone.
    fn policy() -> Policy {
        let paths = |texts: &[&str]| texts.iter().map(PathBuf::from).collect::<Vec<_>>();
        Policy {
            inputs: paths(&["src/a", "lib/x"]).into_iter().collect(),
            listed: paths(&["src"]),
            outputs: Outputs::new(&patterns(&["app", "out/*.o", "!out/no.o", "dist"])),
            beside: paths(&["", "out"]).into_iter().collect(),
            open: paths(&["dist"]),
            deep: Vec::new(),
            above: OnceLock::new(),
        }
    }

    #[track_caller]
    fn check(doing: Doing, there: There, expected: Verdict, cases: &[&str]) {
        for path in cases {
            let decided = policy().decide(Path::new(path), there, doing, &HashSet::new());
            assert_eq!(decided, expected, "{doing:?} {path}");
        }
    }

    #[test]
    fn what_is_declared_is_read() {
        check(READ, There::File, Verdict::Pass, &["src/a", "lib/x", "dist/deep/y"]);
        check(READ, There::File, Verdict::Open, &["app", "out/b.o"]);
        check(
            READ,
            There::File,
            Verdict::Deny,
            &["src/b", "out/no.o", "out/b.c", "release.kdl", ".git/HEAD"],
        );
        // The kernel says that there is nothing.
        check(READ, There::Nothing, Verdict::Pass, &["src/b", ".git/HEAD"]);
        check(Doing::Look, There::File, Verdict::Pass, &["src/b"]);
    }

    #[test]
    fn directories_are_listed_where_patterns_look() {
        check(Doing::List, There::Directory, Verdict::Pass, &["src", "src/deep", "dist", "dist/deep"]);
        check(Doing::List, There::Directory, Verdict::Deny, &["", "lib", "out", ".hoist"]);
    }

    #[test]
    fn programs_are_executed_where_the_kernel_can_allow_it() {
        check(Doing::Execute, There::File, Verdict::Pass, &["src/a", "dist/tool"]);
        check(Doing::Execute, There::File, Verdict::Deny, &["app", "src/b"]);
    }

    #[test]
    fn outputs_and_what_comes_and_goes_beside_them_are_written() {
        let new = Opening { read: true, create: true, truncate: true };
        let more = Opening { read: true, create: false, truncate: false };
        check(Doing::Write(new), There::Nothing, Verdict::Open, &["app", "out/b.o", "out/b.tmp", "x"]);
        check(Doing::Write(new), There::File, Verdict::Open, &["app", "out/b.tmp", "README"]);
        check(Doing::Write(new), There::File, Verdict::Pass, &["dist/y"]);
        check(Doing::Write(new), There::File, Verdict::Deny, &["src/a", "src/new", "out/deep/b.o"]);
        check(Doing::Write(more), There::File, Verdict::Open, &["app"]);
        // Who changes a part of a file reads the rest.
        check(Doing::Write(more), There::File, Verdict::Deny, &["out/b.tmp", "README"]);
    }

    #[test]
    fn directories_are_made_for_outputs_alone() {
        check(Doing::MakeDirectory, There::Nothing, Verdict::Pass, &["out", "dist", "dist/deep"]);
        check(Doing::MakeDirectory, There::Nothing, Verdict::Deny, &["log", "out/deep", "src/x"]);
        check(Doing::MakeDirectory, There::Directory, Verdict::Pass, &["src", "log"]);
        let deep = Policy { deep: vec![PathBuf::from("out")], ..policy() };
        let decided =
            |path: &str| deep.decide(Path::new(path), There::Nothing, Doing::MakeDirectory, &HashSet::new());
        assert_eq!(decided("out/deep/x"), Verdict::Pass);
    }

    #[test]
    fn what_is_read_is_not_taken_away() {
        for doing in [Doing::Remove, Doing::Make] {
            check(doing, There::File, Verdict::Pass, &["app", "out/b.tmp", "dist/x"]);
            check(doing, There::File, Verdict::Deny, &["src/a", "src/b", "lib/x", "log/x"]);
        }
        check(Doing::Remove, There::Nothing, Verdict::Pass, &["src/b"]);
    }

    #[test]
    fn what_was_made_beside_an_output_is_read_again() {
        let made: HashSet<PathBuf> = [PathBuf::from("out/b.tmp")].into();
        let decided = policy().decide(Path::new("out/b.tmp"), There::File, READ, &made);
        assert_eq!(decided, Verdict::Open);
    }
}
