//! Which files a query means, and what is in them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::config::Release;
use crate::diagnostic::{Code, Problem, Problems};
use crate::facts::meant::{Chosen, Meant};
use crate::facts::places::Places;
use crate::facts::tree::{Tree, Walked, Wanted, project_path};
use crate::facts::{Facts, InputFile, InputQuery, Inputs, KnownFiles, content};

/// The files of one query, sorted by path.
///
/// Wildcards do not match directories, and match nothing in `.git` and `.hoist`;
/// a directory that is named is all files below it. A symbolic link is an input
/// by its text, and, where it leads to a place in the project, that place is an
/// input, too.
///
/// # Errors
/// A named file that does not exist ([`Code::MissingInput`]), leads out of the
/// project ([`Code::OutsideProject`]), or cannot be read ([`Code::Unreadable`]);
/// a template that cannot be filled.
pub fn read_inputs(
    root: &Path,
    release: &Release,
    facts: &Facts,
    query: &InputQuery,
    known: &KnownFiles,
) -> Result<Vec<InputFile>, Problems> {
    let (mut answers, _) = read_all(root, release, facts, std::slice::from_ref(query), known)?;
    Ok(answers.pop().unwrap_or_default().files)
}

/// What a query allows to be looked at: its files, with those that other targets
/// have made by now, and the directories that its patterns look through. Paths are
/// relative to the project; nothing of the files is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readable {
    /// Files and symbolic links.
    pub files: Vec<PathBuf>,
    /// Directories that are named, that links lead to, or in which wildcards match,
    /// with all those below.
    pub directories: Vec<PathBuf>,
}

/// Finds what a query allows to be looked at.
///
/// # Errors
/// As [`read_inputs`], but for files that cannot be read.
pub fn readable(
    root: &Path,
    release: &Release,
    facts: &Facts,
    query: &InputQuery,
) -> Result<Readable, Problems> {
    let mut meant = Meant::of(&Places::new(root), release, facts, query)?;
    meant.generated.clear();
    let wanted: Vec<Wanted> = meant.wanted().collect();
    let tree = Tree::read(root, &wanted, query.honour_ignore)?;
    let chosen = meant.choose(root, &tree)?;
    let wanted = wanted.into_iter().map(|wanted| wanted.directory);
    Ok(Readable { files: chosen.files, directories: wanted.chain(chosen.directories).collect() })
}

/// The files of all queries, from one walk of the project.
///
/// # Errors
/// As [`read_inputs`].
pub fn read_all(
    root: &Path,
    release: &Release,
    facts: &Facts,
    queries: &[InputQuery],
    known: &KnownFiles,
) -> Result<(Vec<Inputs>, Walked), Problems> {
    let mut problems = Problems::new();
    let root = root.canonicalize().map_err(|error| {
        Problem::new(Code::Unreadable, format!("`{}` cannot be read", root.display())).note(error.to_string())
    })?;
    let places = Places::asked_by(&root, queries);
    let meant: Vec<_> = queries.par_iter().map(|query| Meant::of(&places, release, facts, query)).collect();
    let meant: Vec<Meant> = meant.into_iter().filter_map(|meant| problems.take(meant)).collect();
    let wanted: BTreeSet<Wanted> = meant.iter().flat_map(Meant::wanted).collect();
    let wanted: Vec<Wanted> = wanted.into_iter().collect();
    let honour_ignore = queries.iter().any(|query| query.honour_ignore);
    let tree = if wanted.is_empty() {
        Tree::default()
    } else {
        let closed = |directory: &Path| meant.iter().all(|meant| meant.closes(directory));
        problems.take(Tree::read_open(&root, &wanted, honour_ignore, &closed)).unwrap_or_default()
    };
    let chosen: Vec<_> =
        meant.par_iter().map(|meant| meant.choose(&root, &tree).and_then(|it| meant.some(it))).collect();
    let chosen: Vec<Chosen> = chosen.into_iter().filter_map(|chosen| problems.take(chosen)).collect();
    // By their bytes: comparing paths by their parts would cost more than reading.
    let mut all: Vec<&OsStr> =
        chosen.iter().flat_map(|chosen| &chosen.files).map(|path| path.as_os_str()).collect();
    all.sort_unstable();
    all.dedup();
    let read: Vec<_> =
        all.par_iter().map(|path| content::read(&root, &project_path(Path::new(path)), known)).collect();
    let read: HashMap<&OsStr, InputFile> =
        all.into_iter().zip(read).filter_map(|(path, read)| Some((path, problems.take(read)?))).collect();
    let file = |path: &PathBuf| read.get(path.as_os_str()).cloned();
    let mut walked = tree.walked().clone();
    walked.rules.extend(meant.iter().flat_map(|meant| meant.ignore_files.iter().cloned()));
    let directories: HashSet<&Path> = walked.directories.iter().map(|(path, _)| path.as_path()).collect();
    let answer = |(meant, chosen): (&Meant, &Chosen)| {
        let mut wanted = meant.wanted();
        Inputs {
            files: chosen.files.iter().filter_map(file).collect(),
            directories: meant.wanted().map(|wanted| project_path(&wanted.directory)).collect(),
            open: chosen.followed
                || meant.is_open()
                || wanted.any(|wanted| !directories.contains(wanted.directory.as_path())),
        }
    };
    let answers = meant.iter().zip(&chosen).map(answer).collect();
    // Steps of one matrix miss the same file.
    problems.once().or((answers, walked))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use tempfile::TempDir;

    use super::*;
    use crate::config::{Copy, ProjectPath};
    use crate::diagnostic::Spanned;
    use crate::facts::fixture::{facts, inputs, patterns, release, span, template};
    use crate::facts::{ContextQuery, CopyQuery, Event, InputKind};

    struct Project {
        directory: TempDir,
    }

    impl Project {
        fn with(files: &[&str]) -> Self {
            let project = Self { directory: tempfile::tempdir().unwrap() };
            for file in files {
                project.write(file, file);
            }
            project
        }

        fn path(&self, path: &str) -> PathBuf {
            self.directory.path().join("project").join(path)
        }

        fn write(&self, path: &str, text: &str) {
            fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
            fs::write(self.path(path), text).unwrap();
        }

        fn ask(&self, query: &InputQuery) -> Result<Vec<InputFile>, Problems> {
            read_inputs(&self.path(""), &release(), &facts(Event::Unnamed), query, &KnownFiles::new())
        }

        /// The paths that the inputs of a target mean.
        fn inputs(&self, patterns: &[&str]) -> Vec<String> {
            paths(self.ask(&inputs(patterns)))
        }

        /// The files of the first query, and the directories in which files were looked for.
        fn looks(&self, queries: &[InputQuery]) -> (Vec<String>, Vec<String>) {
            let (facts, known) = (facts(Event::Unnamed), KnownFiles::new());
            let (found, walked) = read_all(&self.path(""), &release(), &facts, queries, &known).unwrap();
            let directories = walked.directories.into_iter();
            let mut looked: Vec<_> = directories.map(|(path, _)| path.display().to_string()).collect();
            looked.sort();
            (found[0].files.iter().map(|file| file.path.to_string()).collect(), looked)
        }

        fn copies(&self, from: &str, exclude: &[&str]) -> Vec<String> {
            paths(self.ask(&InputQuery { copies: Some(copy(from, exclude)), ..InputQuery::default() }))
        }
    }

    fn paths(found: Result<Vec<InputFile>, Problems>) -> Vec<String> {
        found.unwrap().iter().map(|file| file.path.to_string()).collect()
    }

    fn all(paths: &[&str]) -> Vec<String> {
        paths.iter().map(|path| (*path).to_owned()).collect()
    }

    fn copy(from: &str, exclude: &[&str]) -> CopyQuery {
        let copy = Copy {
            from: template(from),
            to: template("/"),
            mode: None,
            uid: 0,
            gid: 0,
            exclude: exclude.iter().map(|glob| Spanned::new((*glob).to_owned(), span(glob))).collect(),
            span: span(from),
        };
        CopyQuery { home: ProjectPath::root(), platform: None, copies: vec![copy] }
    }

    #[test]
    fn wildcards_match_files_in_order_and_a_negated_pattern_takes_away() {
        let project = Project::with(&["a.py", "src/b.py", "src/b_pb2.py", "src/deep/c.py", "src/d.txt"]);
        assert_eq!(project.inputs(&["*.py"]), ["a.py"]);
        assert_eq!(project.inputs(&["src/*"]), ["src/b.py", "src/b_pb2.py", "src/d.txt"]);
        assert_eq!(project.inputs(&["src/**/*.py", "!**/*_pb2.py"]), ["src/b.py", "src/deep/c.py"]);
        assert_eq!(project.inputs(&["!src/b.py", "src/*.py"]), ["src/b.py", "src/b_pb2.py"]);
        assert_eq!(project.inputs(&["src/**", "!src/deep", "!src/*.{py,rs}"]), ["src/d.txt"]);
        assert_eq!(project.inputs(&["nothing/**", "a.py"]), ["a.py"]);
    }

    #[test]
    fn inputs_that_match_no_file_are_a_mistake_unless_some_are_made_later() {
        let project = Project::with(&["src/a.rs"]);
        let problem = Problem::new(Code::MissingInput, "the inputs match no file")
            .label(span("srcc/*.rs"), "nothing there, or `.gitignore` names it")
            .help("correct the patterns, or leave `inputs` out: the target then runs each time");
        let mut query = inputs(&["srcc/*.rs"]);
        assert_eq!(project.ask(&query).unwrap_err().as_slice(), [problem]);
        query.generated = inputs(&["srcc/*"]).patterns;
        assert_eq!(project.ask(&query).unwrap(), []);
    }

    #[test]
    fn a_directory_that_is_named_is_all_files_below_it() {
        let project = Project::with(&["src/a", "src/deep/b", "srcs/c"]);
        assert_eq!(project.inputs(&["src"]), ["src/a", "src/deep/b"]);
        assert_eq!(project.inputs(&["./src/", "srcs/c"]), ["src/a", "src/deep/b", "srcs/c"]);
    }

    #[test]
    fn wildcards_pass_over_what_is_ignored_and_names_do_not() {
        let project =
            Project::with(&["a.log", "b.txt", "dist/c.txt", "sub/d.log", "sub/keep.log", "sub/dist/e"]);
        project.write(".gitignore", "*.log\ndist/\n");
        project.write("sub/.gitignore", "!keep.log\n");
        assert_eq!(project.inputs(&["**"]), [".gitignore", "b.txt", "sub/.gitignore", "sub/keep.log"]);
        assert_eq!(project.inputs(&["sub"]), ["sub/.gitignore", "sub/keep.log"]);
        assert_eq!(project.inputs(&["a.log", "dist"]), ["a.log", "dist/c.txt"]);
        assert_eq!(project.copies("sub", &[]), ["sub/.gitignore", "sub/d.log", "sub/dist/e", "sub/keep.log"]);
    }

    #[test]
    fn rules_of_the_repository_around_the_project_count_and_those_above_it_do_not() {
        let project = Project::with(&["services/api/a.log", "services/api/b.txt"]);
        project.write(".gitignore", "*.log\n");
        fs::write(project.directory.path().join(".gitignore"), "*.txt\n").unwrap();
        fs::create_dir(project.path(".git")).unwrap();
        let found = read_inputs(
            &project.path("services/api"),
            &release(),
            &facts(Event::Unnamed),
            &inputs(&["*"]),
            &KnownFiles::new(),
        );
        assert_eq!(paths(found), ["b.txt"]);
    }

    #[test]
    fn what_belongs_to_git_and_hoist_is_no_input() {
        let project = Project::with(&[".git/HEAD", ".hoist/images/index.json", "sub/.git", "sub/a"]);
        assert_eq!(project.inputs(&["**"]), ["sub/a"]);
        assert_eq!(project.copies(".", &[]), ["sub/a"]);
    }

    #[test]
    fn a_named_input_that_is_missing_is_told_with_the_one_that_was_meant() {
        let project = Project::with(&["src/main.py"]);
        let missing = |path: &str| {
            Problem::new(Code::MissingInput, format!("the input `{path}` does not exist"))
                .label(span(path), "no such file or directory")
        };
        let query = inputs(&["scr/main.py", "src/mian.py", "x/y"]);
        let problems = project.ask(&query).unwrap_err();
        assert_eq!(
            problems.as_slice(),
            [
                missing("scr/main.py").help("did you mean `src/main.py`?"),
                missing("src/mian.py").help("did you mean `src/main.py`?"),
                missing("x/y").help("make it, or declare it as an output of the target that makes it"),
            ]
        );
        // Of the steps of a matrix each asks for it.
        let (facts, known) = (facts(Event::Unnamed), KnownFiles::new());
        let queries = [query.clone(), query];
        let again = read_all(&project.path(""), &release(), &facts, &queries, &known).unwrap_err();
        assert_eq!(again.as_slice(), problems.as_slice());
    }

    #[test]
    fn what_other_targets_make_is_neither_answered_nor_missed() {
        let project = Project::with(&["gen/a.py", "gen/by_hand.py", "src/b.py"]);
        let generated = patterns(&["gen/*.py", "!gen/by_hand.py", "dist/web", "out/**"]);
        let asked = patterns(&["**/*.py", "dist/web", "dist", "out/x/y"]);
        let query = InputQuery { patterns: asked, generated, honour_ignore: true, ..InputQuery::default() };
        assert_eq!(paths(project.ask(&query)), ["gen/by_hand.py", "src/b.py"]);
    }

    #[test]
    fn content_executable_bit_and_the_text_of_a_link_are_told_apart() {
        let project = Project::with(&["file", "program"]);
        fs::set_permissions(project.path("program"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("nowhere", project.path("link")).unwrap();
        let found = project.ask(&inputs(&["*"])).unwrap();
        let found: Vec<_> =
            found.iter().map(|file| (file.path.to_string(), file.kind, file.digest)).collect();
        let file = |path: &str, kind, content: &str| {
            (path.to_owned(), kind, *blake3::hash(content.as_bytes()).as_bytes())
        };
        let expected = [
            file("file", InputKind::File, "file"),
            file("link", InputKind::Symlink, "nowhere"),
            file("program", InputKind::Executable, "program"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_large_file_has_the_digest_of_its_bytes() {
        let project = Project::with(&[]);
        let text = "0123456789abcdef".repeat(600_000);
        project.write("large", &text);
        let found = project.ask(&inputs(&["large"])).unwrap();
        assert_eq!(found[0].digest, *blake3::hash(text.as_bytes()).as_bytes());
    }

    #[test]
    fn where_a_link_leads_is_an_input_if_it_lies_in_the_project() {
        let project = Project::with(&["shared/config", "shared/deep/x", "app/main"]);
        symlink("../shared/config", project.path("app/config")).unwrap();
        assert_eq!(project.inputs(&["app/*"]), ["app/config", "app/main", "shared/config"]);
        symlink("../shared", project.path("app/shared")).unwrap();
        symlink("..", project.path("app/loop")).unwrap();
        let all = ["app/config", "app/loop", "app/main", "app/shared", "shared/config", "shared/deep/x"];
        assert_eq!(project.inputs(&["app"]), all);
        assert_eq!(project.inputs(&["app/shared/**/x"]), ["shared/deep/x"]);
        assert_eq!(project.inputs(&["app/shared/deep"]), ["shared/deep/x"]);
        assert_eq!(project.copies("app", &[]), ["app/config", "app/loop", "app/main", "app/shared"]);
        assert_eq!(project.copies("app/shared/*", &[]), ["shared/config", "shared/deep/x"]);
    }

    #[test]
    fn directories_of_which_nothing_is_sent_are_not_looked_into() {
        let project = Project::with(&[
            "data/a",
            "cache/deep/b",
            "cache/x/y",
            "kept/c",
            "kept/d/e",
            "kept/f/g",
            "out/h",
        ]);
        project.write(".dockerignore", "*\n!data\n!kept/d\n");
        let directory = Spanned::new(ProjectPath::root(), span("."));
        let without = vec![ProjectPath::root().join("out").unwrap()];
        let context = ContextQuery { directory, dockerfile: None, without };
        let context = InputQuery { contexts: vec![context], ..InputQuery::default() };
        let sent = || all(&["data/a", "kept/d/e"]);
        assert_eq!(
            project.looks(std::slice::from_ref(&context)),
            (sent(), all(&["", "data", "kept", "kept/d"]))
        );
        // Somebody else may want some of it.
        let other = all(&["", "cache", "cache/deep", "data", "kept", "kept/d"]);
        assert_eq!(project.looks(&[context, inputs(&["cache/deep/*"])]), (sent(), other));
    }

    #[test]
    fn directories_that_a_copy_leaves_out_are_not_looked_into() {
        let project = Project::with(&["app/main", "app/node_modules/x/y", "app/lib/node_modules/z"]);
        let query = InputQuery { copies: Some(copy("app", &["**/node_modules"])), ..InputQuery::default() };
        // A layer has a directory of which no file is copied, too.
        assert_eq!(project.looks(&[query]), (all(&["app/lib", "app/main"]), all(&["app", "app/lib"])));
        let query = InputQuery { copies: Some(copy("app", &["**/z"])), ..InputQuery::default() };
        let looked =
            all(&["app", "app/lib", "app/lib/node_modules", "app/node_modules", "app/node_modules/x"]);
        let found = all(&["app/lib/node_modules", "app/main", "app/node_modules/x/y"]);
        assert_eq!(project.looks(&[query]), (found, looked));
    }

    #[test]
    fn no_named_link_leads_out_of_the_project() {
        let project = Project::with(&["a"]);
        fs::create_dir(project.directory.path().join("outside")).unwrap();
        fs::write(project.directory.path().join("outside/secret"), "").unwrap();
        symlink("../outside", project.path("link")).unwrap();
        assert_eq!(project.inputs(&["*"]), ["a", "link"]);
        let refused = |asked: &str, what: &str| {
            let problem = Problem::new(Code::OutsideProject, format!("`{what}` leads out of the project"))
                .label(span(asked), "not below the directory of the project")
                .help("copy it into the project, or have a target make it");
            assert_eq!(project.ask(&inputs(&[asked])), Err(problem.into()));
        };
        refused("link", "link");
        refused("link/secret", "link");
        refused("link/*", "link");
        refused("../outside/secret", "../outside/secret");
        refused("../outside/*", "../outside/*");
        refused("/etc/passwd", "/etc/passwd");
    }

    #[test]
    fn a_link_in_the_place_of_what_is_made_leads_nowhere() {
        let project = Project::with(&["gen/a.py", "src/b.py"]);
        fs::create_dir(project.directory.path().join("outside")).unwrap();
        symlink("../outside", project.path("out")).unwrap();
        symlink("src", project.path("made")).unwrap();
        let asked = |generated: &[&str]| InputQuery {
            patterns: patterns(&["out/**", "made/*.py", "gen/*.py"]),
            generated: patterns(generated),
            honour_ignore: true,
            ..InputQuery::default()
        };
        assert_eq!(paths(project.ask(&asked(&["out/", "made"]))), ["gen/a.py"]);
        // What is made through a link is another matter.
        let problems = project.ask(&asked(&["out/x", "made"])).unwrap_err();
        assert_eq!(problems.as_slice()[0].code, Code::OutsideProject);
    }

    #[test]
    fn names_that_are_not_utf8_are_inputs_like_others() {
        let project = Project::with(&["src/a"]);
        let name = OsStr::from_bytes(b"\xff.py");
        fs::write(project.path("src").join(name), "").unwrap();
        let found = project.ask(&inputs(&["src/*.py"])).unwrap();
        assert_eq!(found[0].path.as_path(), Path::new("src").join(name));
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn a_socket_is_passed_over_by_wildcards_and_refused_by_name() {
        let project = Project::with(&["a"]);
        let _socket = std::os::unix::net::UnixListener::bind(project.path("socket")).unwrap();
        assert_eq!(project.inputs(&["*"]), ["a"]);
        let problem = Problem::new(Code::Unreadable, "`socket` is neither a file nor a directory");
        let problem = problem.label(span("socket"), "cannot be an input");
        assert_eq!(project.ask(&inputs(&["socket"])), Err(problem.into()));
    }

    #[test]
    fn copies_are_filled_in_and_leave_out_what_is_excluded() {
        let project = Project::with(&[
            "dist/amd64/web",
            "dist/arm64/web",
            "static/a.css",
            "static/x/a.map",
            "static/x/b",
        ]);
        assert_eq!(project.copies("dist/{platform.arch}/web", &[]), ["dist/amd64/web"]);
        let platform = "linux/arm64".parse().ok();
        let arm = CopyQuery { platform, ..copy("dist/{platform.arch}", &[]) };
        let query = InputQuery { copies: Some(arm), ..InputQuery::default() };
        assert_eq!(paths(project.ask(&query)), ["dist/arm64/web"]);
        assert_eq!(project.copies("static", &["**/*.map"]), ["static/a.css", "static/x/b"]);
        assert_eq!(project.copies("static", &["x"]), ["static/a.css"]);
        // With a slash at its end, a glob means directories alone.
        assert_eq!(project.copies("static", &["x/", "a.css/"]), ["static/a.css"]);
        assert_eq!(project.copies("static", &["x/b/", "*/"]), ["static/a.css"]);
        assert_eq!(project.copies("static/*", &[]), ["static/a.css", "static/x/a.map", "static/x/b"]);
    }

    #[test]
    fn an_empty_directory_is_copied_unless_something_will_be_made_in_it() {
        let project = Project::with(&["static/a"]);
        fs::create_dir_all(project.path("static/uploads")).unwrap();
        fs::create_dir_all(project.path("static/made")).unwrap();
        let generated = patterns(&["static/made/x"]);
        let query = InputQuery { copies: Some(copy("static", &[])), generated, ..InputQuery::default() };
        let found = project.ask(&query).unwrap();
        let found: Vec<_> = found.iter().map(|file| (file.path.to_string(), file.kind)).collect();
        let expected = [("static/a", InputKind::File), ("static/uploads", InputKind::Directory)];
        assert_eq!(found, expected.map(|(path, kind)| (path.to_owned(), kind)));
    }

    #[test]
    fn several_queries_are_answered_in_their_order() {
        let project = Project::with(&["a", "b", "c"]);
        let queries = [inputs(&["b", "a"]), inputs(&[]), inputs(&["*"])];
        let none = KnownFiles::new();
        let (answers, _) =
            read_all(&project.path(""), &release(), &facts(Event::Unnamed), &queries, &none).unwrap();
        let answers: Vec<_> = answers.into_iter().map(|inputs| paths(Ok(inputs.files))).collect();
        assert_eq!(answers, [vec!["a", "b"], vec![], vec!["a", "b", "c"]]);
    }

    #[test]
    fn a_glob_that_is_none_is_told() {
        let project = Project::with(&["a"]);
        let problems = project.ask(&inputs(&["a[", "b{c"])).unwrap_err();
        let codes: Vec<_> =
            problems.as_slice().iter().map(|problem| (problem.code, &problem.title)).collect();
        assert_eq!(
            codes,
            [
                (Code::InvalidValue, &"`a[` is not a glob".to_owned()),
                (Code::InvalidValue, &"`b{c` is not a glob".to_owned()),
            ]
        );
    }
}
