//! Reading the project's file with all that it includes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::config::{Include, LoadedDocument, ProjectPath, Release, decode, includes, name_fits};
use crate::diagnostic::{Code, Problem, Problems, Sources, Span};
use crate::facts::compiled::{Compiled, Origin};
use crate::facts::pattern::{compile, outside};
use crate::facts::tree::{Tree, Wanted};
use crate::facts::{Project, nearest_path};

/// More than any file that people write; what is larger is not read at all.
const LARGEST: u64 = 16 << 20;

/// Reads and checks the project's file with all that it includes. Their texts
/// are added to `sources`.
///
/// The prefix of an included file is its directory as seen from the file that
/// includes it, or what `as=` says, behind the prefix of that file.
///
/// # Errors
/// Everything that is wrong with the files, and with how they include each other.
pub fn load(project: &Project, sources: &mut Sources) -> Result<Release, Problems> {
    compile_release(project, sources).map(|compiled| compiled.release)
}

/// As [`load`], with all that tells whether the files still say the same.
///
/// # Errors
/// As [`load`].
pub fn compile_release(project: &Project, sources: &mut Sources) -> Result<Compiled, Problems> {
    let mut loader = Loader {
        root: &project.root,
        first: sources.iter().count(),
        sources,
        documents: Vec::new(),
        seen: BTreeSet::new(),
        origin: Origin::default(),
        problems: Problems::new(),
    };
    let top = project.file.strip_prefix(&project.root).unwrap_or(&project.file);
    match ProjectPath::root().join(top) {
        Ok(path) => loader.file(&path, "", None, &mut Vec::new()),
        Err(_) => loader.problems.push(unreadable(top, "it does not lie in the project", None)),
    }
    let Loader { documents, mut problems, mut origin, first, .. } = loader;
    let name = project.root.file_name().unwrap_or_default().to_string_lossy();
    origin.first = first;
    origin.directory = name.clone().into_owned();
    let complete = problems.is_empty();
    match decode(&documents, &name) {
        Ok(release) => problems.or(Compiled { origin, release }),
        // What is not declared may be so in a file that could not be read.
        Err(more) => {
            let fresh = more.into_iter().filter(|problem| complete || problem.code != Code::UnknownName);
            problems.extend(fresh);
            Err(problems.once())
        }
    }
}

struct Loader<'a> {
    root: &'a Path,
    /// How many texts there were before.
    first: usize,
    sources: &'a mut Sources,
    documents: Vec<LoadedDocument>,
    /// What is read already: each file once for each prefix.
    seen: BTreeSet<(ProjectPath, String)>,
    origin: Origin,
    problems: Problems,
}

/// A file that is being read, and where the next one is included in it.
struct Open {
    path: ProjectPath,
    include: Span,
}

impl Loader<'_> {
    /// Reads one file, and then what it includes.
    fn file(&mut self, path: &ProjectPath, prefix: &str, asked: Option<Span>, outer: &mut Vec<Open>) {
        if !self.seen.insert((path.clone(), prefix.to_owned())) {
            return;
        }
        let text = match read(self.root, path, asked) {
            Ok(text) => text,
            Err(problem) => return self.problems.push(problem),
        };
        self.origin.files.push((path.clone(), *blake3::hash(text.as_bytes()).as_bytes()));
        let source = self.sources.add(path.to_string(), text.as_str());
        let parsed = crate::syntax::parse(source, &text);
        let Some(document) = self.problems.take(parsed) else { return };
        let found = includes(&document);
        self.documents.push(LoadedDocument { document, path: path.clone(), prefix: prefix.to_owned() });
        for include in found {
            let files = self.problems.take(included(self.root, path, &include)).unwrap_or_default();
            if is_wildcard(&include.pattern.value) {
                self.origin.wildcards.push((path.clone(), include.clone(), files.clone()));
            }
            for file in files {
                self.include(path, &file, prefix, &include, outer);
            }
        }
    }

    fn include(
        &mut self,
        from: &ProjectPath,
        file: &ProjectPath,
        prefix: &str,
        include: &Include,
        outer: &mut Vec<Open>,
    ) {
        let span = include.pattern.span;
        outer.push(Open { path: from.clone(), include: span });
        if let Some(start) = outer.iter().position(|open| open.path == *file) {
            // A wildcard that matches what is open already means the others.
            if !is_wildcard(&include.pattern.value) {
                self.problems.push(cycle(outer.get(start..).unwrap_or_default()));
            }
        } else {
            let below =
                include.prefix.as_ref().map_or_else(|| directory_from(from, file), |it| it.value.clone());
            if include.prefix.is_none() && !below.is_empty() {
                self.problems.extend(prefix_fits(&below, span).err());
            }
            let joined =
                [prefix, &below].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
            self.file(file, &joined, Some(span), outer);
        }
        outer.pop();
    }
}

/// The text of a file.
pub(super) fn read(root: &Path, path: &ProjectPath, asked: Option<Span>) -> Result<String, Problem> {
    let full = root.join(path.as_path());
    let wrong = |why: &str| unreadable(path.as_path(), why, asked);
    let metadata = full.metadata().map_err(|error| wrong(&error.to_string()))?;
    if !metadata.is_file() {
        return Err(wrong("it is not a file"));
    }
    if metadata.len() > LARGEST {
        let title = format!("`{path}` has more than {} MiB", LARGEST >> 20);
        return Err(Problem::new(Code::TooLarge, title).help("split it, and `include` the parts"));
    }
    let place = full.canonicalize().map_err(|error| wrong(&error.to_string()))?;
    if let Some(span) = asked.filter(|_| !place.starts_with(root)) {
        return Err(outside(path.as_path(), span));
    }
    let bytes = std::fs::read(&full).map_err(|error| wrong(&error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| {
        let line =
            error.as_bytes().iter().take(error.utf8_error().valid_up_to()).filter(|b| **b == b'\n').count();
        let is_utf16 = matches!(error.as_bytes(), [0xff, 0xfe, ..] | [0xfe, 0xff, ..]);
        let problem = wrong(&format!("line {} is not UTF-8", line + 1));
        problem.maybe_help(is_utf16.then(|| "it looks like UTF-16: save it as UTF-8".to_owned()))
    })
}

/// The files that an `include` means, sorted.
pub(super) fn included(
    root: &Path,
    from: &ProjectPath,
    include: &Include,
) -> Result<Vec<ProjectPath>, Problems> {
    let (text, span) = (&include.pattern.value, include.pattern.span);
    let home = from.parent().unwrap_or_default();
    let path = home.join(text).map_err(|_| outside(Path::new(text), span))?;
    if !is_wildcard(text) {
        let exists = root.join(path.as_path()).symlink_metadata().is_ok();
        return if exists { Ok(vec![path]) } else { Err(missing(root, &path, span).into()) };
    }
    let Some(glob) = path.as_path().to_str() else { return Ok(Vec::new()) };
    let matcher = compile(glob, span)?;
    let base: PathBuf =
        path.as_path().iter().take_while(|part| !is_wildcard(&part.to_string_lossy())).collect();
    let tree = Tree::read(root, &[Wanted { directory: base.clone(), ignored: false }], true)?;
    let files = tree.files_below(&base).filter(|entry| !entry.ignored && matcher.is_match(&entry.path));
    Ok(files.map(|entry| crate::facts::tree::project_path(&entry.path)).collect())
}

fn missing(root: &Path, path: &ProjectPath, span: Span) -> Problem {
    let near = nearest_path(root, path.as_path()).map(|near| format!("did you mean `{near}`?"));
    Problem::new(Code::Include, format!("the included file `{path}` does not exist"))
        .label(span, "no such file")
        .maybe_help(near)
}

/// Names of an included file are typed with its directory before them.
fn prefix_fits(directory: &str, include: Span) -> Result<(), Problem> {
    name_fits(directory).map_err(|why| {
        Problem::new(Code::Include, format!("the directory `{directory}` cannot be a prefix of names"))
            .label(include, why)
            .help("give the included file a prefix: `as=\"…\"`")
    })
}

fn is_wildcard(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// The directory of `file` as seen from the directory of `from`; where it does
/// not lie below, as seen from the project.
fn directory_from(from: &ProjectPath, file: &ProjectPath) -> String {
    let directory = file.parent().unwrap_or_default();
    let home = from.parent().unwrap_or_default();
    let below = directory.as_path().strip_prefix(home.as_path()).unwrap_or(directory.as_path());
    below.to_string_lossy().into_owned()
}

fn unreadable(path: &Path, why: &str, asked: Option<Span>) -> Problem {
    let title = format!("`{}` cannot be read", path.display());
    match asked {
        Some(span) => Problem::new(Code::Include, title).label(span, "included here"),
        None => Problem::new(Code::Unreadable, title),
    }
    .note(why.to_owned())
}

/// Files that include each other, in a circle.
fn cycle(circle: &[Open]) -> Problem {
    let first = circle.first().map(|open| open.path.to_string()).unwrap_or_default();
    let way = circle.iter().map(|open| open.path.to_string()).chain([first.clone()]).collect::<Vec<_>>();
    let problem = Problem::new(Code::Include, format!("`{first}` includes itself"))
        .help("remove one of the includes")
        .note(way.join(" → "));
    circle
        .iter()
        .zip(way.iter().skip(1))
        .rev()
        .fold(problem, |problem, (open, next)| problem.label(open.include, format!("includes `{next}`")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::facts::fixture::Files;

    fn loaded(files: &Files) -> (Sources, Result<Release, Problems>) {
        let mut sources = Sources::new();
        let release = load(&files.project(), &mut sources);
        (sources, release)
    }

    fn targets(files: &Files) -> Vec<String> {
        loaded(files).1.unwrap().targets.into_keys().collect()
    }

    /// What is wrong: the code, the title, and what the labels point to.
    fn wrong(files: &Files) -> Vec<(Code, String, Vec<String>)> {
        let (sources, release) = loaded(files);
        let told = |problem: Problem| {
            let labels = problem.labels.iter();
            let place = |span: Span| {
                let name = &sources.get(span.source).unwrap().name;
                format!("{name}: {}", sources.slice(span))
            };
            (problem.code, problem.title, labels.map(|label| place(label.span)).collect())
        };
        release.unwrap_err().into_iter().map(told).collect()
    }

    #[test]
    fn names_of_included_files_have_their_directory_or_what_as_says() {
        let files = Files::with(&[
            (
                "release.kdl",
                "include \"services/*/release.kdl\" \"ci.kdl\"\ninclude \"web/release.kdl\" as=\"w\"",
            ),
            ("ci.kdl", "target \"lint\" { run \"x\"; }"),
            ("services/api/release.kdl", "include \"db/release.kdl\"\ntarget \"lint\" { run \"x\"; }"),
            ("services/api/db/release.kdl", "target \"migrate\" { run \"x\"; }"),
            ("services/auth/release.kdl", "target \"lint\" { run \"x\"; }"),
            ("web/release.kdl", "include \"deep/release.kdl\"\ntarget \"lint\" { run \"x\"; }"),
            ("web/deep/release.kdl", "target \"lint\" { run \"x\"; }"),
        ]);
        let expected = [
            "services/api/lint",
            "services/api/db/migrate",
            "services/auth/lint",
            "lint",
            "w/lint",
            "w/deep/lint",
        ];
        assert_eq!(targets(&files), expected);
        let (sources, release) = loaded(&files);
        let home = release.unwrap().targets["services/api/lint"].home.to_string();
        assert_eq!(home, "services/api");
        let names: Vec<_> = sources.iter().map(|(_, source)| source.name.as_str()).collect();
        assert_eq!(names[..3], ["release.kdl", "services/api/release.kdl", "services/api/db/release.kdl"]);
    }

    #[test]
    fn a_wildcard_passes_over_the_file_itself_and_what_is_ignored_and_reads_each_once() {
        let files = Files::with(&[
            (".gitignore", "vendor/"),
            ("release.kdl", "include \"**/release.kdl\""),
            ("a/release.kdl", "include \"b/release.kdl\"\ntarget \"x\" { run \"x\"; }"),
            ("a/b/release.kdl", "target \"y\" { run \"x\"; }"),
            ("vendor/release.kdl", "target \"z\" { run \"x\"; }"),
        ]);
        assert_eq!(targets(&files), ["a/b/y", "a/x"]);
    }

    #[test]
    fn files_that_include_each_other_are_told_with_the_whole_circle() {
        let files = Files::with(&[
            ("release.kdl", "include \"a/release.kdl\""),
            ("a/release.kdl", "include \"../b.kdl\""),
            ("b.kdl", "include \"a/release.kdl\""),
        ]);
        let places = ["b.kdl: \"a/release.kdl\"", "a/release.kdl: \"../b.kdl\""].map(str::to_owned);
        let title = "`a/release.kdl` includes itself".to_owned();
        assert_eq!(wrong(&files), [(Code::Include, title, places.to_vec())]);
    }

    #[test]
    fn every_file_that_cannot_be_read_is_told_and_names_that_it_may_have_are_not() {
        let files = Files::with(&[
            (
                "release.kdl",
                "include \"api/relase.kdl\"\ninclude \"bytes.kdl\"\ninclude \"../x.kdl\"\ninclude \"dir\"\ntarget \"a\" { needs \"api/b\"; run \"x\"; oops; }",
            ),
            ("api/release.kdl", "target \"b\" { run \"x\"; }"),
            ("dir/x", ""),
        ]);
        std::fs::write(files.path("bytes.kdl"), b"// fine\n// \xff").unwrap();
        let (_, release) = loaded(&files);
        let problems = release.unwrap_err();
        let told: Vec<_> = problems
            .as_slice()
            .iter()
            .map(|p| (p.code, p.title.as_str(), p.help.as_deref(), p.notes.as_slice()))
            .collect();
        let notes = |note: &str| [note.to_owned()];
        assert_eq!(
            told[..4],
            [
                (
                    Code::Include,
                    "the included file `api/relase.kdl` does not exist",
                    Some("did you mean `api/release.kdl`?"),
                    &[][..]
                ),
                (Code::Include, "`bytes.kdl` cannot be read", None, &notes("line 2 is not UTF-8")[..]),
                (
                    Code::OutsideProject,
                    "`../x.kdl` leads out of the project",
                    Some("copy it into the project, or have a target make it"),
                    &[][..]
                ),
                (Code::Include, "`dir` cannot be read", None, &notes("it is not a file")[..]),
            ]
        );
        let codes: Vec<_> = problems.as_slice().iter().skip(4).map(|problem| problem.code).collect();
        assert_eq!(codes, [Code::UnknownNode]);
    }

    #[test]
    fn a_file_that_an_editor_saved_as_utf16_is_told_so() {
        let files = Files::with(&[]);
        let text = "\u{feff}project \"x\"\n".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        std::fs::write(files.path("release.kdl"), text).unwrap();
        let (_, release) = loaded(&files);
        let problems = release.unwrap_err();
        let help = problems.as_slice().first().and_then(|problem| problem.help.as_deref());
        assert_eq!(help, Some("it looks like UTF-16: save it as UTF-8"));
    }

    #[test]
    fn a_link_that_leads_out_of_the_project_is_not_read() {
        let files = Files::with(&[("release.kdl", "include \"link.kdl\"")]);
        let outside = files.path("").with_file_name("outside.kdl");
        std::fs::write(&outside, "target \"a\" { run \"x\"; }").unwrap();
        symlink(&outside, files.path("link.kdl")).unwrap();
        let title = "`link.kdl` leads out of the project".to_owned();
        assert_eq!(
            wrong(&files),
            [(Code::OutsideProject, title, vec!["release.kdl: \"link.kdl\"".to_owned()])]
        );
    }

    #[test]
    fn syntax_of_all_files_is_told_at_once() {
        let files = Files::with(&[
            ("release.kdl", "include \"a.kdl\" \"b.kdl\""),
            ("a.kdl", "target \"a\" {"),
            ("b.kdl", "target \"b\" {"),
        ]);
        let told = wrong(&files);
        let sources: BTreeSet<_> =
            told.iter().flat_map(|(_, _, places)| places).map(|place| &place[..5]).collect();
        assert_eq!(sources.into_iter().collect::<Vec<_>>(), ["a.kdl", "b.kdl"]);
    }
}
