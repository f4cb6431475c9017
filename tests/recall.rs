//! Runs that begin with what the last run of the same goals left.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::fixture::{Ended, Repo, done};

const FILE: &str = r#"
    dotenv ".env"
    var "mode" "fast" env="MODE"
    target "list" { inputs "src/**/*.txt"; outputs "out/list"; run "ls src > out/list; echo $mode >> out/list"; }
    target "copy" { inputs "out/list"; outputs "out/copy"; run "cp" "out/list" "out/copy"; }
    target "tree" { inputs "in"; outputs "dist"; run "mkdir -p dist/deep; cp in dist/deep/a"; }
    target "lint" { inputs "in"; env LEVEL="{env.LEVEL}"; run "test $LEVEL -lt 5"; }
    target "other" { inputs "other"; run "true"; }
    target "all" { needs "copy" "tree" "lint" "other"; }
"#;

/// A project in which everything is up to date, and known to be.
fn quiet() -> Repo {
    let repo = Repo::with(FILE);
    for (path, text) in [("src/a.txt", "a"), ("in", "in"), ("other", "other"), (".env", "LEVEL=1\n")] {
        repo.write(path, text);
    }
    assert_eq!(run(&repo).code, 0);
    assert_nothing(&repo);
    repo
}

fn run(repo: &Repo) -> Ended {
    repo.hoist(&["run", "all"])
}

#[track_caller]
fn assert_nothing(repo: &Repo) {
    let ended = run(repo);
    assert!(ended.stderr.starts_with("ok Nothing to do: all 5 steps are up to date"), "{}", ended.stderr);
}

/// As [`assert_nothing`], where some steps may be looked at all the same.
#[track_caller]
fn assert_up_to_date(repo: &Repo) {
    let ended = run(repo);
    assert!(ended.stderr.contains("ok Nothing to do: all 5 steps are up to date"), "{}", ended.stderr);
}

/// What the steps did of which something is told, sorted, and that there is
/// nothing to do afterwards.
#[track_caller]
fn told(repo: &Repo) -> Vec<String> {
    let ended = run(repo);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let lines =
        ended.stderr.lines().filter(|line| !line.contains("up to date") && !line.starts_with("ok all "));
    let mut lines: Vec<String> = lines.map(str::to_owned).collect();
    lines.sort();
    // Directories that were written to are looked into once more.
    assert_up_to_date(repo);
    assert_nothing(repo);
    lines
}

#[test]
fn a_file_that_changes_runs_what_it_concerns() {
    let repo = quiet();
    repo.write("other", "OTHER");
    assert_eq!(told(&repo), ["ok other  [TIME]  other changed"]);
    repo.write("src/b.txt", "b");
    let expected = ["ok copy  [TIME]  `list` made something else", "ok list  [TIME]  now reads src/b.txt"];
    assert_eq!(told(&repo), expected);
    assert_eq!(repo.read("out/copy"), "a.txt\nb.txt\nfast\n");
    fs::remove_file(repo.path().join("src/b.txt")).unwrap();
    repo.hoist(&["run", "all"]);
    assert_eq!(repo.read("out/copy"), "a.txt\nfast\n");
    assert_nothing(&repo);
    // What is gone for good is not looked for any more: nothing is written again.
    let cache = repo.path().parent().unwrap().join("cache/v4/projects");
    let project = fs::read_dir(cache).unwrap().next().unwrap().unwrap().path();
    let steps = || {
        let files = fs::read_dir(&project).unwrap().map(|file| file.unwrap());
        let of_steps = files.filter(|file| file.file_name().to_string_lossy().ends_with("-steps"));
        of_steps.map(|file| file.metadata().unwrap().modified().unwrap()).max()
    };
    let before = steps();
    assert_nothing(&repo);
    assert_eq!(steps(), before);
}

#[test]
fn a_change_that_keeps_size_and_times_is_noticed() {
    let repo = quiet();
    let path = repo.path().join("in");
    let times = || fs::File::open(&path).unwrap().metadata().unwrap().modified().unwrap();
    let before = times();
    repo.write("in", "IN");
    fs::File::options().write(true).open(&path).unwrap().set_modified(before).unwrap();
    assert_eq!(times(), before);
    assert_eq!(told(&repo), ["ok lint  [TIME]  in changed", "ok tree  [TIME]  in changed"]);
    assert_eq!(repo.read("dist/deep/a"), "IN");
}

#[test]
fn a_file_that_is_only_touched_runs_nothing() {
    let repo = quiet();
    let file = fs::File::options().write(true).open(repo.path().join("in")).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_hours(1)).unwrap();
    assert_nothing(&repo);
    repo.write("in", "in");
    assert_nothing(&repo);
}

#[test]
fn outputs_that_are_gone_changed_or_joined_are_put_right() {
    let repo = quiet();
    fs::remove_file(repo.path().join("out/copy")).unwrap();
    assert_eq!(told(&repo), ["ok copy  restored from the cache"]);
    fs::remove_dir_all(repo.path().join("dist")).unwrap();
    assert_eq!(told(&repo), ["ok tree  restored from the cache"]);
    let moved = |step: &str, to: u32| {
        let to = format!("`.hoist/displaced/{to}`");
        let notice = format!("{step}: what lay in the place of its outputs is in {to} now");
        let mut lines = [format!("ok {step}  restored from the cache"), notice];
        lines.sort();
        lines
    };
    repo.write("dist/deep/a", "IN");
    assert_eq!(told(&repo), moved("tree", 1));
    repo.write("dist/deep/more", "x");
    assert_eq!(told(&repo), moved("tree", 2));
    assert!(!repo.has("dist/deep/more"));
    repo.write("dist/more", "x");
    assert_eq!(told(&repo), moved("tree", 3));
    let made = repo.path().join("out/list");
    fs::set_permissions(&made, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(told(&repo), ["ok list  restored from the cache"]);
    fs::remove_file(&made).unwrap();
    symlink("copy", &made).unwrap();
    assert_eq!(told(&repo), moved("list", 4));
    assert!(!made.is_symlink());
}

#[test]
fn variables_are_seen_wherever_they_come_from() {
    let repo = quiet();
    let ended = repo.hoist_with(&["run", "all"], &[("MODE", "slow")]);
    assert!(ended.stderr.contains("variable mode: fast → slow"), "{}", ended.stderr);
    assert_eq!(repo.read("out/copy"), "a.txt\nslow\n");
    assert_eq!(run(&repo).code, 0);
    assert_eq!(repo.read("out/copy"), "a.txt\nfast\n");
    assert_nothing(&repo);
    repo.write(".env", "LEVEL=7\n");
    let ended = run(&repo);
    assert_eq!(ended.code, 1);
    let again = run(&repo);
    assert_eq!(again.code, 1, "what failed runs again: {}", again.stderr);
    repo.write(".env", "LEVEL=1\n");
    assert_eq!(run(&repo).code, 0);
    assert_nothing(&repo);
}

#[test]
fn what_is_ignored_is_no_input_any_more() {
    let repo = quiet();
    repo.write("src/b.txt", "b");
    assert_eq!(told(&repo).len(), 2);
    for place in [".gitignore", "src/.gitignore"] {
        repo.write(place, "b.txt\n");
        let ended = run(&repo);
        assert!(ended.stderr.contains("list"), "{place}: {}", ended.stderr);
        let why = repo.hoist(&["why", "list"]).stdout;
        assert!(why.contains("up to date"), "{place}: {why}");
        fs::remove_file(repo.path().join(place)).unwrap();
        run(&repo);
        assert!(repo.hoist(&["why", "list"]).stdout.contains("up to date"));
    }
}

#[test]
fn a_file_that_says_something_else_is_read_again() {
    let repo = quiet();
    repo.write("release.kdl", FILE.replace("cp\" \"out/list\"", "cp\" \"-f\" \"out/list\""));
    assert_eq!(told(&repo), ["ok copy  [TIME]  the command changed"]);
    repo.write("release.kdl", FILE.replace("\"other\"; run \"true\"", "\"other\"; run \"false\""));
    assert_eq!(run(&repo).code, 1);
    repo.write("release.kdl", FILE.replace("target \"all\"", "target \"nothing\""));
    assert_eq!(run(&repo).code, 2);
}

#[test]
fn nothing_is_relied_on_that_is_gone_or_damaged() {
    let repo = quiet();
    let cache = repo.path().parent().unwrap().join("cache/v4");
    let project = fs::read_dir(cache.join("projects")).unwrap().next().unwrap().unwrap().path();
    let below = |dir: &Path| -> Vec<PathBuf> {
        fs::read_dir(dir).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file()).collect()
    };
    let files = [below(&project), below(&project.join("runs"))].concat();
    assert!(files.len() > 5);
    for path in files {
        let whole = fs::read(&path).unwrap();
        for damaged in [&whole[..whole.len() / 2], &[&whole[..10], &[0; 4], &whole[14..]].concat(), b""] {
            fs::remove_file(&path).unwrap();
            fs::write(&path, damaged).unwrap();
            assert_up_to_date(&repo);
        }
    }
    fs::remove_dir_all(&project).unwrap();
    assert_up_to_date(&repo);
    assert_nothing(&repo);
    assert_eq!(repo.hoist(&["clean", "--cache"]).code, 0);
    let ended = run(&repo);
    assert!(ended.stderr.contains("5 ran"), "{}", ended.stderr);
}

#[test]
fn secrets_are_in_no_file_of_the_cache() {
    let repo = Repo::with(
        r#"
        dotenv ".env"
        target "use" { inputs "in"; env TOKEN="{env.TOKEN}"; run "test -n \"$TOKEN\""; }
        target "pass" { inputs "in"; env COPY="{env.PASSED}"; pass-env "PASSED"; run "test -n \"$PASSED\""; }
        "#,
    );
    repo.write("in", "1");
    repo.write(".env", "TOKEN=hunter2-of-the-file\n");
    let call = || repo.hoist_with(&["run", "use", "pass"], &[("PASSED", "hunter2-of-the-caller")]);
    for text in ["1", "1", "2", "2"] {
        repo.write("in", text);
        assert_eq!(call().code, 0);
    }
    let mut pending = vec![repo.path().parent().unwrap().join("cache"), repo.path().join(".hoist")];
    let mut files = 0;
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        assert!(!bytes.windows(7).any(|window| window == b"hunter2"), "{}", path.display());
        files += 1;
    }
    assert!(files > 5);
}

#[test]
fn names_that_are_not_text_are_remembered_like_others() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let repo = Repo::with(
        r#"target "list" { inputs "src/**"; outputs "out/**"; run "cp -r src/* out"; }
        target "all" { needs "list"; }"#,
    );
    let odd = OsStr::from_bytes(b"a\xffb");
    for directory in [repo.path().join("src").join(odd), repo.path().join(odd)] {
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(odd), "1").unwrap();
    }
    assert_eq!(run(&repo).code, 0);
    let project = repo.path().parent().unwrap().join("cache/v4/projects");
    let project = fs::read_dir(project).unwrap().next().unwrap().unwrap().path();
    let goals = || {
        let files = fs::read_dir(&project).unwrap().map(|file| file.unwrap());
        files.filter(|file| file.file_name().to_string_lossy().starts_with("goals-")).count()
    };
    assert_eq!(goals(), 3);
    assert!(run(&repo).stderr.starts_with("ok Nothing to do"));
    // Only the step that is concerned is looked at, with the files that it reads.
    fs::write(repo.path().join("src").join(odd).join("more"), "2").unwrap();
    assert!(run(&repo).stderr.contains("ok list  [TIME]  now reads src/a%FFb/more"));
    assert!(repo.path().join("out").join(odd).join("more").exists());
    assert!(run(&repo).stderr.starts_with("ok Nothing to do"));
}

#[test]
fn what_cleans_up_runs_also_after_what_is_up_to_date() {
    let repo = Repo::with(
        r#"
        target "up" { run "echo up > out"; inputs "a"; outputs "out"; finally "down"; }
        target "down" { needs "slow"; run "echo down >> log"; }
        target "slow" { run "sleep 0.2"; }
        target "test" { needs "up"; run "grep good b"; inputs "b"; }
        "#,
    );
    repo.write("a", "a");
    repo.write("b", "good");
    assert_eq!(repo.hoist(&["run", "test"]).code, 0);
    repo.write("b", "bad");
    assert_eq!(repo.hoist(&["run", "test"]).code, 1);
    assert_eq!(repo.read("log"), "down\ndown\n");
}

#[test]
fn what_somebody_wrote_into_an_output_is_kept_when_the_output_is_brought_back() {
    let repo = Repo::with(
        r#"target "gen" { inputs "in"; outputs "o" "d/"; run "cp in o; mkdir -p d; cp in d/1"; }"#,
    );
    let displaced = || repo.path().join(".hoist/displaced");
    for text in ["1", "2", "1"] {
        repo.write("in", text);
        assert_eq!(repo.hoist(&["gen"]).code, 0);
    }
    assert!(!displaced().exists(), "what it made itself is nobody's");
    repo.write("o", "mine");
    repo.write("d/2", "mine, too");
    let ended = repo.hoist(&["gen"]);
    assert_eq!((ended.code, repo.read("o").as_str()), (0, "1"));
    assert!(ended.stderr.contains("is in `.hoist/displaced/1` now"), "{}", ended.stderr);
    assert_eq!(repo.read(".hoist/displaced/1/o"), "mine");
    assert_eq!(repo.read(".hoist/displaced/1/d/2"), "mine, too");
}

/// An image of which nothing is asked for elsewhere.
const IMAGE: &str = r#"
    var "mode" "fast" env="MODE"
    image "web" {
        assemble from="scratch" {
            layer { copy "src" "/src"; }
            env MODE="{mode}" LEVEL="{env.LEVEL}"
        }
        label com.example.user="{user}"
        budget size="1MB"
    }
"#;

#[test]
fn an_image_is_made_again_for_whatever_it_depends_on() {
    let repo = Repo::with(IMAGE);
    repo.write("src/a.txt", "a");
    repo.write(".gitignore", ".hoist\n");
    repo.commit("Begin");
    let run = |environment: &[(&str, &str)]| {
        let set = [&[("LEVEL", "1")], environment].concat();
        let ended = repo.hoist_with(&["run", "web:budget"], &set);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended.stderr.contains("ok web:build@")
    };
    let snapshots = || {
        let cache = repo.path().parent().unwrap().join("cache/v4/projects");
        let project = fs::read_dir(cache).unwrap().next().unwrap().unwrap().path();
        let files = fs::read_dir(project).unwrap().map(|file| file.unwrap().file_name());
        files.filter(|name| name.to_string_lossy().ends_with("-steps")).count()
    };
    let quiet = || {
        // What was just written has to settle before it is relied on.
        for _ in 0..3 {
            assert!(!run(&[]));
        }
        assert_eq!(snapshots(), 1);
    };
    assert!(run(&[]));
    quiet();
    repo.write("src/b.txt", "b");
    assert!(run(&[]));
    quiet();
    // Its labels say which commit it is made of, and whether of that alone.
    repo.commit("More");
    assert!(run(&[]));
    quiet();
    repo.write("src/a.txt", "A");
    assert!(run(&[]));
    repo.write("src/a.txt", "a");
    assert!(!run(&[]), "the image of before is still there");
    quiet();
    repo.git(&["remote", "add", "origin", "https://example.com/web.git"]);
    assert!(run(&[]));
    quiet();
    assert!(run(&[("MODE", "slow")]));
    assert!(run(&[("LEVEL", "2")]));
    assert!(run(&[("SOURCE_DATE_EPOCH", "86400")]));
    assert!(run(&[("USER", "somebody")]));
    quiet();
    // The image itself may be gone.
    let built = repo.path().parent().unwrap().join("cache");
    let mut removed = 0;
    for entry in
        ignore::WalkBuilder::new(built).hidden(false).ignore(false).git_ignore(false).build().flatten()
    {
        if entry.path().to_string_lossy().contains("blobs/sha256/") && entry.path().is_file() {
            fs::remove_file(entry.path()).unwrap();
            removed += 1;
        }
    }
    assert!(removed > 0);
    assert!(run(&[]));
    quiet();
}

#[test]
fn goals_are_told_apart_in_a_directory_whose_name_is_not_text() {
    let above = tempfile::TempDir::new().expect("a temporary directory can be made");
    let above = above.path().join(std::ffi::OsStr::from_bytes(b"not \xff text"));
    fs::create_dir(&above).expect("a directory can be made");
    let repo = Repo::below(&above);
    repo.write(
        "release.kdl",
        r#"
        target "a" { run "echo a > a.txt"; inputs "in"; outputs "a.txt"; }
        target "b" { run "echo b > b.txt"; inputs "in"; outputs "b.txt"; }
        "#,
    );
    repo.write("in", "");
    done(&repo.hoist(&["run", "a"]));
    assert!(repo.hoist(&["run", "a"]).stderr.contains("Nothing to do"));
    done(&repo.hoist(&["run", "b"]));
    assert_eq!(repo.read("b.txt"), "b\n");
    assert!(repo.hoist(&["run", "b"]).stderr.contains("Nothing to do"));
}

/// A target whose output directory another keeps its cache in, as programs do that
/// packages are installed for.
const INSTALL: &str = r#"
    target "install" { inputs "lock"; outputs "node_modules/"; run "mkdir -p node_modules/pkg && cp lock node_modules/pkg/code"; }
    target "build" {
        needs "install"
        inputs "src"
        outputs "dist"
        run "mkdir -p node_modules/.cache && echo x >> node_modules/.cache/x && cat node_modules/pkg/code src > dist"
    }
    target "lint" { needs "install"; inputs "src"; run "mkdir -p node_modules/.cache && echo y >> node_modules/.cache/y"; }
    target "all" { needs "build" "lint"; }
    image "web" { needs "install" "build"; assemble from="scratch" { layer { copy "node_modules" "/m"; }; }; }
"#;

#[test]
fn what_a_tool_keeps_in_its_cache_among_the_outputs_of_another_step_is_left_to_it() {
    let repo = Repo::with(INSTALL);
    repo.write("lock", "1\n");
    repo.write("src", "a\n");
    let ended = run(&repo);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(!ended.stderr.contains("again the next time"), "{}", ended.stderr);
    let ended = run(&repo);
    assert!(ended.stderr.contains("Nothing to do: all 3 steps are up to date"), "{}", ended.stderr);
    assert!(run(&repo).stderr.starts_with("ok Nothing to do"));
    repo.write("src", "b\n");
    let ended = run(&repo);
    assert!(!ended.stderr.contains("displaced"), "{}", ended.stderr);
    assert_eq!(repo.read("node_modules/.cache/x"), "x\nx\n");
    assert!(repo.hoist(&["plan", "all"]).stdout.contains("up to date"));
    assert!(run(&repo).stderr.contains("Nothing to do"));
    // Of an image all that lies there becomes part.
    let ended = repo.hoist(&["run", "web:build"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("is in `.hoist/displaced/1` now"), "{}", ended.stderr);
    assert!(!repo.has("node_modules/.cache"));
}

#[test]
fn what_else_comes_to_lie_among_the_outputs_of_another_step_is_named() {
    let repo = Repo::with(&INSTALL.replace("node_modules/.cache", "node_modules/kept"));
    repo.write("lock", "1\n");
    repo.write("src", "a\n");
    let ended = repo.hoist(&["run", "build"]);
    let told = "build: `node_modules/kept` came to lie where `install` makes its outputs";
    assert!(ended.stderr.contains(told), "{}", ended.stderr);
    assert!(ended.stderr.contains("\"!node_modules/kept\""), "{}", ended.stderr);
    let outputs = "outputs \"node_modules/\"";
    let excepted = INSTALL.replace("node_modules/.cache", "node_modules/kept");
    repo.write("release.kdl", excepted.replace(outputs, "outputs \"node_modules/\" \"!node_modules/kept\""));
    assert_eq!(repo.hoist(&["run", "build"]).code, 0);
    assert!(repo.hoist(&["run", "build"]).stderr.contains("Nothing to do"));
}

#[test]
fn what_no_target_declares_any_more_is_removed_unless_somebody_wants_it() {
    let file = |outputs: &str| {
        let outputs = if outputs.is_empty() { String::new() } else { format!("outputs {outputs}; ") };
        format!(
            r#"target "gen" {{ inputs "in"; {outputs}run "mkdir -p out/d; for f in a b mine d/c tracked; do cp in out/$f; done"; }}
            target "list" {{ needs "gen"; inputs "out/**"; run "ls out > list"; outputs "list"; }}
            target "use" {{ inputs "out/b"; run "true"; }}"#
        )
    };
    let all = r#""out/a" "out/b" "out/mine" "out/d/" "out/tracked""#;
    let repo = Repo::with(&file(all));
    repo.write(".gitignore", "/out\n");
    repo.write("in", "1");
    done(&repo.hoist(&["run", "list"]));
    repo.git(&["add", "--force", "out/tracked"]);
    repo.write("out/mine", "mine");
    repo.write(
        "release.kdl",
        file(r#""out/new""#)
            .replace("mkdir -p out/d; for f in a b mine d/c tracked; do cp in out/$f; done", "cp in out/new"),
    );
    let ended = repo.hoist(&["run", "list"]);
    done(&ended);
    let told = "gen: removed what it made and no target declares any more: `out/a`, `out/d/c`";
    assert!(ended.stderr.contains(told), "{}", ended.stderr);
    let there = ["out/a", "out/b", "out/mine", "out/d", "out/tracked", "out/new"].map(|path| repo.has(path));
    // What another names to read stays, and so does what was changed or is tracked.
    assert_eq!(there, [false, true, true, false, true, true]);
    assert!(repo.hoist(&["run", "list"]).stderr.contains("Nothing to do"));
}

#[test]
fn what_another_target_makes_now_is_its_own() {
    let file = |first: &str, second: &str| {
        let made = |names: &str| {
            let outputs: Vec<String> = names.chars().map(|name| format!("\"{name}\"")).collect();
            let run: Vec<String> = names.chars().map(|name| format!("cp in {name}")).collect();
            format!("outputs {}; run \"{}\"", outputs.join(" "), run.join("; "))
        };
        let (first, second) = (made(first), made(second));
        format!("target \"one\" {{ inputs \"in\"; {first}; }}\ntarget \"two\" {{ inputs \"in\"; {second}; }}")
    };
    let repo = Repo::with(&file("xy", "z"));
    repo.write("in", "1");
    done(&repo.hoist(&["run", "one"]));
    repo.write("release.kdl", file("x", "yz"));
    let ended = repo.hoist(&["run", "one"]);
    assert!(repo.has("y") && !ended.stderr.contains("removed"), "{}", ended.stderr);
    repo.write("release.kdl", file("xy", "z"));
    done(&repo.hoist(&["run", "one"]));
    repo.write("release.kdl", file("x", "z"));
    // What it makes now is brought back; what it made before goes.
    let ended = repo.hoist(&["run", "one"]);
    let told = "one: removed what it made and no target declares any more: `y`";
    assert!(!repo.has("y") && ended.stderr.contains(told), "{}", ended.stderr);
}

#[test]
fn what_a_step_makes_among_its_own_inputs_is_named() {
    let repo =
        Repo::with(r#"target "x" { inputs "**"; outputs "dist/"; run "mkdir -p dist; date +%N > dist/x"; }"#);
    let ended = repo.hoist(&["run", "x"]);
    let told = "x: it made `dist/x`, which is one of its own inputs";
    assert!(ended.stderr.contains(told), "{}", ended.stderr);
    repo.write("release.kdl", repo.read("release.kdl").replace("\"**\"", "\"**\" \"!dist/x\""));
    done(&repo.hoist(&["run", "x"]));
    assert!(repo.hoist(&["run", "x"]).stderr.contains("Nothing to do"));
}

#[test]
fn without_a_place_for_the_cache_a_run_has_one_of_its_own() {
    let repo = Repo::with(
        r#"
        cache dir="file/cache"
        target "gen" { inputs "in"; outputs "out"; run "cp in out"; }
        image "web" { assemble from="scratch" { layer { copy "out" "/out"; }; }; }
        "#,
    );
    repo.write("file", "not a directory");
    repo.write("in", "1");
    let ended = repo.hoist(&["run", "gen", "web:build"]);
    done(&ended);
    assert!(ended.stderr.contains("nothing is kept of this run"), "{}", ended.stderr);
    assert_eq!(repo.read("out"), "1");
    let ended = repo.hoist(&["run", "gen", "--no-cache"]);
    done(&ended);
    assert!(!ended.stderr.contains("cannot be written"), "{}", ended.stderr);
    assert!(repo.hoist(&["plan", "gen"]).stdout.contains("never ran here"));
    assert_eq!(repo.hoist(&["clean"]).code, 1);
}

#[test]
fn what_is_made_behind_a_link_is_read_once_it_is_made() {
    let repo = Repo::with(
        r#"
        target "gen" { inputs "in"; outputs "out/x.txt"; run "cp in out/x.txt"; }
        target "use" { inputs "real/**"; outputs "copy"; run "cat real/* > copy"; }
        "#,
    );
    fs::create_dir(repo.path().join("real")).unwrap();
    symlink("real", repo.path().join("out")).unwrap();
    for text in ["1", "2"] {
        repo.write("in", text);
        done(&repo.hoist(&["run", "use"]));
        assert_eq!(repo.read("copy"), text);
        assert!(repo.hoist(&["run", "use"]).stderr.contains("Nothing to do"));
    }
}
