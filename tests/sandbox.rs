//! Targets in a sandbox of the real kernel, and what is learned of them.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::test_kill_process;

use crate::fixture::{Ended, Repo, installed};
use crate::signals::start;

/// A project with this release.kdl, and these files beside it.
fn project(release: &str, files: &[&str]) -> Repo {
    let repo = Repo::new();
    repo.write("release.kdl", release);
    for file in files {
        repo.write(file, format!("{file}\n"));
    }
    repo
}

/// A target in a sandbox that runs a script to its end.
fn target(script: &str, rest: &str) -> String {
    format!("target \"t\" {{\n    run \"set +e; {script}\"\n    {rest}\n    sandbox\n}}\n")
}

/// What hoist said, on both ways.
fn said(ended: &Ended) -> String {
    format!("{}{}exit {}", ended.stdout, ended.stderr, ended.code)
}

/// The titles of the problems in an output, each behind a mark of its own.
fn titles(ended: &Ended) -> Vec<&str> {
    let title = |line: &'_ str| -> bool { line.trim_start().starts_with("x ") };
    ended
        .stderr
        .lines()
        .filter(|line| title(line))
        .map(|line| line.trim_start().trim_start_matches("x "))
        .collect()
}

fn passes(repo: &Repo, arguments: &[&str]) -> Ended {
    let ended = repo.hoist(arguments);
    assert_eq!(ended.code, 0, "{}", said(&ended));
    assert!(!ended.stderr.contains("denied"), "{}", said(&ended));
    ended
}

/// Runs a target that must fail, and returns what was denied.
fn denied(repo: &Repo) -> Vec<String> {
    let ended = repo.hoist(&["run", "t"]);
    assert_eq!(ended.code, 1, "{}", said(&ended));
    let titles = titles(&ended);
    assert_eq!(titles.first(), Some(&"`t` failed"), "{}", said(&ended));
    titles.iter().skip(1).map(|title| (*title).to_owned()).collect()
}

#[test]
fn what_is_declared_is_read_and_what_is_not_is_denied_and_named() {
    let release = target("cat src/a.txt; sh -c 'sh -c \\\"cat src/b.txt\\\"'", "inputs \"src/a.txt\"");
    let repo = project(&release, &["src/a.txt", "src/b.txt"]);
    assert_eq!(denied(&repo), ["`t` reads `src/b.txt`, which it does not declare"]);
    repo.write("release.kdl", release.replace("inputs", "inputs \"src/b.txt\""));
    assert_eq!(passes(&repo, &["run", "t"]).stdout, "src/a.txt\nsrc/b.txt\n");
}

#[test]
fn no_way_around_leads_to_what_is_not_declared() {
    let repo = project("", &["src/a.txt", "b.txt"]);
    symlink("../b.txt", repo.path().join("src/link")).unwrap();
    let outside = repo.path().with_file_name("way");
    symlink(repo.path(), &outside).unwrap();
    let ways = [
        "src/../b.txt".to_owned(),
        repo.path().join("b.txt").display().to_string(),
        outside.join("b.txt").display().to_string(),
        "src/link".to_owned(),
        "/proc/self/cwd/b.txt".to_owned(),
        "/proc/$$/cwd/b.txt".to_owned(),
    ];
    for way in ways {
        repo.write("release.kdl", target(&format!("cat {way}"), "inputs \"src/a.txt\""));
        // What declares a link means what it leads to.
        let read = if way == "src/link" { &way } else { "b.txt" };
        assert_eq!(denied(&repo), [format!("`t` reads `{read}`, which it does not declare")], "{way}");
    }
}

#[test]
fn what_belongs_to_git_and_hoist_is_denied() {
    let repo = Repo::with(&target("cat .git/HEAD; ls .hoist", "inputs \"a.txt\""));
    repo.write("a.txt", "a");
    let expected =
        ["`t` reads `.git/HEAD`, which it does not declare", "`t` lists `.hoist`, which it does not declare"];
    assert_eq!(denied(&repo), expected);
}

#[test]
fn another_name_is_no_way_to_read_a_file() {
    for way in ["ln b.txt out", "mv b.txt out", "mv other out"] {
        let release = target(&format!("{way}; cat out out/c"), "inputs \"a.txt\"; outputs \"out\"");
        let repo = project(&release, &["a.txt", "b.txt", "other/c"]);
        let ended = repo.hoist(&["run", "t"]);
        let verb = if way.contains("other") { "lists `other`" } else { "reads `b.txt`" };
        assert_eq!(
            titles(&ended)[1..],
            [format!("`t` {verb}, which it does not declare")],
            "{}",
            said(&ended)
        );
        assert!(ended.stdout.is_empty() && repo.has("b.txt"), "{}", said(&ended));
    }
}

#[test]
fn a_link_to_what_is_declared_is_followed() {
    let repo = project(&target("cat src/link", "inputs \"src/*\""), &["b.txt"]);
    fs::create_dir(repo.path().join("src")).unwrap();
    symlink("../b.txt", repo.path().join("src/link")).unwrap();
    assert_eq!(passes(&repo, &["run", "t"]).stdout, "b.txt\n");
    repo.write("more/c.txt", "");
    symlink("../more", repo.path().join("src/all")).unwrap();
    repo.write("release.kdl", target("ls src/all/ more", "inputs \"src/all\""));
    assert_eq!(passes(&repo, &["run", "t"]).stdout, "more:\nc.txt\n\nsrc/all/:\nc.txt\n");
}

#[test]
fn a_link_is_read_like_what_it_leads_to() {
    let release = |inputs: &str| target("cat link all/c.txt", inputs);
    let repo = project(&release("inputs \"a.txt\" \"more/*\""), &["a.txt", "more/c.txt"]);
    symlink("a.txt", repo.path().join("link")).unwrap();
    symlink("more", repo.path().join("all")).unwrap();
    let undeclared = |path: &str| format!("`t` reads `{path}`, which it does not declare");
    assert_eq!(denied(&repo), [undeclared("all"), undeclared("link")]);
    repo.write("release.kdl", release("inputs \"link\" \"all\""));
    assert_eq!(passes(&repo, &["run", "t"]).stdout, "a.txt\nmore/c.txt\n");
    repo.write("release.kdl", release("").replace("    sandbox\n", ""));
    assert_eq!(
        proposal(&repo.hoist(&["run", "--learn", "t"])),
        "inputs \"a.txt\" \"all\" \"link\" \"more/c.txt\""
    );
}

#[test]
fn what_is_not_its_own_is_not_made_executable() {
    let script =
        "echo 1 > out; chmod +x out; echo 2 > beside; chmod +x beside; rm beside; chmod +x src/b.txt";
    let repo = project(&target(script, "inputs \"a.txt\"; outputs \"out\""), &["a.txt", "src/b.txt"]);
    assert_eq!(denied(&repo), ["`t` writes `src/b.txt`, which it does not declare"]);
}

#[test]
fn the_root_of_all_is_not_listed_unseen() {
    let repo = project(&target("ls / > out", "outputs \"out\"; inputs \"a.txt\""), &["a.txt"]);
    let ended = repo.hoist(&["run", "t"]);
    assert!(ended.stderr.contains("`t` lists `/`"), "{}", said(&ended));
}

#[test]
fn an_output_is_declared_where_it_lies_and_not_through_a_link() {
    let repo =
        project(&target("echo 1 > out/a", "inputs \"a.txt\"; outputs \"out/a\""), &["a.txt", "real/b"]);
    symlink("real", repo.path().join("out")).unwrap();
    let ended = repo.hoist(&["run", "t"]);
    assert!(
        ended.stderr.contains("`t` writes `real/a`, which it declares through a link"),
        "{}",
        said(&ended)
    );
    assert!(ended.stderr.contains("help: name the place itself: `outputs … \"real/a\"`"), "{}", said(&ended));
    repo.write("release.kdl", target("echo 1 > out/a", "inputs \"a.txt\"; outputs \"real/a\""));
    passes(&repo, &["run", "t"]);
}

#[test]
fn a_directory_is_listed_where_a_wildcard_looks_through_it() {
    let repo =
        project(&target("ls src src/deep", "inputs \"src/**/*.txt\""), &["src/deep/a.txt", "doc/b.txt"]);
    assert_eq!(passes(&repo, &["run", "t"]).stdout, "src:\ndeep\n\nsrc/deep:\na.txt\n");
    repo.write("release.kdl", target("ls doc", "inputs \"src/**/*.txt\""));
    assert_eq!(denied(&repo), ["`t` lists `doc`, which it does not declare"]);
}

#[test]
fn a_target_that_succeeds_all_the_same_is_told_what_it_was_denied() {
    let repo =
        project(&target("cat extra 2> /dev/null || echo none", "inputs \"a.txt\""), &["a.txt", "extra"]);
    let ended = repo.hoist(&["run", "t"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "none\n"), "{}", said(&ended));
    let notice =
        "t: it reads `extra`, which it does not declare, and was denied that (add it: `inputs … \"extra\"`)";
    assert!(ended.stderr.contains(notice), "{}", said(&ended));
    let ended = repo.hoist(&["run", "t"]);
    let reason = "its last run was not kept: inputs changed, access was denied, or its log was cut";
    assert!(ended.stderr.contains(reason), "{}", said(&ended));
}

#[test]
fn outputs_are_made_replaced_read_back_and_executed() {
    let script = "cp a.txt out.tmp; mv out.tmp out.txt; cat out.txt; rm out.txt; cat a.txt > out.txt; \
                  mkdir -p bin; printf '#!/bin/sh\\\\necho runs\\\\n' > bin/tool; chmod +x bin/tool; bin/tool; \
                  mkdir -p dist/deep; cat a.txt > dist/deep/b; ls dist; cat < dist/deep/b; \
                  exec 3<>both; echo more >&3; cat both";
    let release = target(script, "inputs \"a.txt\"; outputs \"out.txt\" \"bin/tool\" \"dist\" \"both\"");
    let repo = project(&release, &["a.txt", "other.txt"]);
    for _ in 0..2 {
        let expected = "a.txt\nruns\ndeep\na.txt\nmore\n";
        assert_eq!(passes(&repo, &["run", "t", "--force"]).stdout, expected);
        // Of the second run, all is there already.
    }
    assert_eq!(repo.read("dist/deep/b"), "a.txt\n");
    let mode = |path: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(repo.path().join(path)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode("out.txt"), mode("bin/tool")), (0o644, 0o755));
}

#[test]
fn an_output_beside_other_files_is_not_executed_by_the_target_itself() {
    let release = target("cp /bin/sh tool; ./tool -c true", "inputs \"in\"; outputs \"tool\"");
    let repo = project(&release, &["in"]);
    let ended = repo.hoist(&["run", "t"]);
    assert_eq!(
        titles(&ended)[1..],
        ["`t` executes `tool`, which lies beside other files"],
        "{}",
        said(&ended)
    );
    assert!(ended.stderr.contains("outputs … \"bin/tool\""), "{}", said(&ended));
}

#[test]
fn what_lies_beside_an_output_is_not_read() {
    let release = target("echo x > out/a; cat out/old", "inputs \"in\"; outputs \"out/a\"");
    let repo = project(&release, &["in", "out/old"]);
    assert_eq!(denied(&repo), ["`t` reads `out/old`, which it does not declare"]);
}

#[test]
fn what_is_read_is_not_changed_and_what_is_not_declared_is_not_made() {
    let release =
        target("echo x > src/a; mkdir log; touch log2/x; rm src/b; mv src/a src/c", "inputs \"src/*\"");
    let repo = project(&release, &["src/a", "src/b", "log2/y"]);
    let verbs = ["makes `log`", "writes `log2/x`", "writes `src/a`", "removes `src/b`"].map(str::to_owned);
    let undeclared = |verb: String| {
        let what = if verb.contains("src") { "declares to read" } else { "does not declare" };
        format!("`t` {verb}, which it {what}")
    };
    assert_eq!(denied(&repo), verbs.map(undeclared));
    assert_eq!((repo.read("src/a").as_str(), repo.has("log"), repo.has("log2/x")), ("src/a\n", false, false));
}

#[test]
fn files_that_other_targets_make_are_read() {
    let release = "
        target \"gen\" { run \"echo made > gen/a.txt\"; outputs \"gen/a.txt\"; }
        target \"lib\" { run \"echo lib > lib/x; echo y > lib/y\"; inputs \"src\"; outputs \"lib/**\"; sandbox; }
        target \"t\" { run \"cat gen/a.txt lib/x\"; inputs \"gen/*.txt\"; needs \"both\"; sandbox; }
        target \"both\" { needs \"lib\"; }
        target \"u\" { run \"cat gen/a.txt lib/x\"; inputs \"gen/*.txt\"; sandbox; }";
    let repo = project(release, &["src"]);
    assert_eq!(passes(&repo, &["run", "t"]).stdout, "made\nlib\n");
    let ended = repo.hoist(&["run", "u"]);
    assert_eq!(titles(&ended), ["`u` failed", "`u` reads `lib/x`, which it does not declare"]);
}

#[test]
fn files_that_up_to_date_targets_made_are_read() {
    let release = "target \"gen\" { run \"echo made > gen/a.txt\"; inputs \"src/a\"; outputs \"gen/a.txt\"; }\n\
                   target \"t\" { run \"cat gen/a.txt src/b\"; inputs \"gen/*.txt\" \"src/b\"; SANDBOX }\n";
    for (word, flags) in [("sandbox", &["run", "t"][..]), ("", &["run", "--sandbox", "t"])] {
        let repo = project(&release.replace("SANDBOX", word), &["src/a", "src/b"]);
        passes(&repo, flags);
        repo.write("src/b", "new\n");
        assert_eq!(passes(&repo, flags).stdout, "made\nnew\n");
    }
}

#[test]
fn the_system_the_home_and_temporary_files_can_be_used() {
    let script = "mktemp > /dev/null; echo x > $TMPDIR/y; cat $TMPDIR/y; mv $TMPDIR/y out/y; \
                  touch ~/.cache/z; cc --version > /dev/null || true; date > /dev/null";
    let repo = project(&target(script, "inputs \"a\"; outputs \"out/y\""), &["a"]);
    fs::create_dir(repo.path().with_file_name("home").join(".cache")).unwrap();
    assert_eq!(passes(&repo, &["run", "t"]).stdout, "x\n");
    assert_eq!(repo.read("out/y"), "x\n");
}

#[test]
fn directories_above_the_project_are_used_for_what_they_held() {
    let repo = project(&target("cat ../home/known; ls ..; touch ../new", "inputs \"a\""), &["a"]);
    let above = repo.path().parent().unwrap().display().to_string();
    fs::write(repo.path().with_file_name("home").join("known"), "known\n").unwrap();
    let expected = ["`t` lists `[DIR]`, above the project", "`t` writes `[DIR]/new`, above the project"];
    let ended = repo.hoist(&["run", "t"]);
    assert_eq!(titles(&ended)[1..], expected, "{above}: {}", said(&ended));
    assert_eq!(ended.stdout, "known\n");
}

#[test]
fn a_project_in_the_home_directory_is_denied_all_the_same() {
    let repo = project(&target("cat $HOME/known; cat b.txt", "inputs \"a\""), &["a", "b.txt"]);
    let home = repo.path().parent().unwrap().to_owned();
    fs::write(home.join("known"), "known\n").unwrap();
    let ended = repo.hoist_with(&["run", "t"], &[("HOME", home.to_str().unwrap())]);
    assert_eq!(ended.stdout, "known\n", "{}", said(&ended));
    assert_eq!(titles(&ended)[1..], ["`t` reads `b.txt`, which it does not declare"]);
}

#[test]
fn a_command_ends_as_it_would_without() {
    let repo = project("", &["a"]);
    for (script, text) in [
        ("exit 7", "exit status 7"),
        ("kill -KILL $$", "ended by SIGKILL"),
        ("kill -TERM $$", "ended by SIGTERM"),
    ] {
        repo.write("release.kdl", target(script, "inputs \"a\""));
        let ended = repo.hoist(&["run", "t"]);
        assert!(ended.stderr.contains(text), "{}", said(&ended));
    }
    repo.write("release.kdl", "target \"t\" { run \"no-such-program\" \"x\"; inputs \"a\"; sandbox; }");
    let ended = repo.hoist(&["run", "t"]);
    assert!(ended.stderr.contains("there is no program `no-such-program` in PATH"), "{}", said(&ended));
    repo.write("release.kdl", target("sleep 600", "inputs \"a\"; timeout \"300ms\""));
    let ended = repo.hoist(&["run", "t"]);
    assert!(ended.stderr.contains("hoist::run::timed_out"), "{}", said(&ended));
}

#[test]
fn a_script_of_the_project_is_run_where_it_is_declared() {
    let repo = project("target \"t\" { run \"./tool.sh\" \"x\"; inputs \"a\"; sandbox; }", &["a"]);
    repo.write("tool.sh", "#!/bin/sh\necho tool $1\n");
    Command::new("chmod").args(["+x", "tool.sh"]).current_dir(repo.path()).status().unwrap();
    let ended = repo.hoist(&["run", "t"]);
    assert_eq!(
        titles(&ended)[1..],
        ["`t` executes `tool.sh`, which it does not declare"],
        "{}",
        said(&ended)
    );
    repo.write("release.kdl", "target \"t\" { run \"./tool.sh\" \"x\"; inputs \"a\" \"*.sh\"; sandbox; }");
    assert_eq!(passes(&repo, &["run", "t"]).stdout, "tool x\n");
}

#[test]
fn the_flag_is_for_every_cacheable_target_and_keys_are_the_same() {
    let release = "
        target \"a\" { run \"cat b.txt\"; inputs \"a.txt\"; }
        target \"fine\" { run \"cat a.txt\"; inputs \"a.txt\"; }
        target \"always\" { run \"cat b.txt\"; }";
    let repo = project(release, &["a.txt", "b.txt"]);
    let ended = repo.hoist(&["run", "--sandbox", "-k", "a", "always"]);
    assert_eq!(ended.stdout, "b.txt\n", "{}", said(&ended));
    assert_eq!(titles(&ended), ["`a` failed", "`a` reads `b.txt`, which it does not declare"]);
    let open = "`always` declares no `inputs`, so it ran without a sandbox";
    assert!(ended.stderr.contains(open), "{}", said(&ended));
    let unchecked = "did not run, so no sandbox checked them";
    assert!(!passes(&repo, &["run", "--sandbox", "fine"]).stderr.contains(unchecked));
    assert!(passes(&repo, &["run", "--sandbox", "fine"]).stderr.contains(unchecked));
    let without = passes(&repo, &["run", "fine"]).stderr;
    assert!(without.contains("Nothing to do") && !without.contains(unchecked), "{without}");
}

#[test]
fn many_inputs_are_read_and_what_lies_among_them_is_denied() {
    let script = "cat src/*/*.txt | wc -l; ls src | wc -l; cat src/1/secret";
    let repo = project(&target(script, "inputs \"src/**/*.txt\""), &["src/1/secret"]);
    for at in 0..3000 {
        repo.write(&format!("src/{}/{at}.txt", at % 10), "x\n");
    }
    let ended = repo.hoist(&["run", "t"]);
    assert_eq!(ended.stdout, "3000\n10\n", "{}", said(&ended));
    assert_eq!(titles(&ended)[1..], ["`t` reads `src/1/secret`, which it does not declare"]);
}

/// Targets each of which makes a project in its own directory for temporary files
/// and has hoist run the next target there, in a sandbox inside of the one before;
/// the last one runs a script.
fn nested(depth: usize, last: &str) -> Ended {
    let repo = project("", &["secret"]);
    // In a sandbox, only the usual directories of a system are there for another.
    let place = tempfile::tempdir_in("/var/tmp").unwrap();
    let program = place.path().join("hoist");
    fs::hard_link(env!("CARGO_BIN_EXE_hoist"), &program)
        .or_else(|_| fs::copy(env!("CARGO_BIN_EXE_hoist"), &program).map(drop))
        .unwrap();
    let targets = (1..=depth).map(|level| {
        let call = format!("{} -C $TMPDIR run t{}", program.display(), level + 1);
        let next = format!("cp release.kdl secret $TMPDIR; HOIST_CACHE_DIR=$TMPDIR/cache {call}");
        let (script, inputs) = if level == depth {
            (last, "\"release.kdl\"")
        } else {
            (next.as_str(), "\"release.kdl\" \"secret\"")
        };
        format!("target \"t{level}\" {{ run \"{script}\"; inputs {inputs}; sandbox; }}\n")
    });
    repo.write("release.kdl", targets.collect::<String>());
    repo.hoist(&["run", "t1"])
}

#[test]
fn where_calls_cannot_be_watched_the_kernel_denies_all_the_same() {
    // The outer hoist listens already, and the kernel allows one listener.
    let ended = nested(2, "grep -c target release.kdl; cat secret");
    assert_eq!((ended.code, ended.stdout.as_str()), (1, "2\n"), "{}", said(&ended));
    let known = "it ran in a sandbox, and what that denied is not known";
    assert!(ended.stderr.contains("secret: Permission denied"), "{}", said(&ended));
    assert!(ended.stderr.contains(known), "{}", said(&ended));
}

#[test]
fn where_there_is_no_sandbox_nothing_runs_without_one() {
    // The kernel puts no more than 16 around each other.
    let ended = nested(17, "echo it ran");
    assert!(ended.stderr.contains("hoist::run::no_sandbox"), "{}", said(&ended));
    assert!(ended.stderr.contains("`t17` cannot have a sandbox here"), "{}", said(&ended));
    assert!(!ended.stdout.contains("it ran"), "{}", said(&ended));
}

#[test]
fn a_user_without_rights_has_the_same_sandbox() {
    if !rustix::process::geteuid().is_root() || !installed("a sandbox of another user", &["setpriv"]) {
        return;
    }
    let script = "echo x > out/x; cat out/x a.txt; cat b.txt";
    let repo = project(&target(script, "inputs \"a.txt\"; outputs \"out/x\""), &["a.txt", "b.txt", "out/y"]);
    let above = repo.path().parent().unwrap().to_owned();
    let changed = Command::new("chown").args(["-R", "65534:65534"]).arg(&above).status();
    assert!(changed.is_ok_and(|status| status.success()));
    // The program must be where everybody finds it.
    let program = above.join("hoist");
    fs::copy(env!("CARGO_BIN_EXE_hoist"), &program).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program).args(["run", "t"]);
    let given = repo.command(&[]);
    command.env_clear().current_dir(repo.path());
    command.envs(given.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "x\na.txt\n", "{stderr}");
    assert!(stderr.contains("`t` reads `b.txt`, which it does not declare"), "{stderr}");
}

/// The line that `--learn` proposes for a target.
fn proposal(ended: &Ended) -> String {
    let line = ended.stdout.lines().find(|line| line.trim_start().starts_with("inputs "));
    line.unwrap_or_else(|| panic!("{}", said(ended))).trim().to_owned()
}

/// Learns a target, declares what was learned, and runs it in a sandbox.
fn learn(script: &str, outputs: &str, files: &[&str]) -> String {
    let release = |inputs: &str| {
        format!("target \"t\" {{\n    run \"{script}\"\n    {inputs}\n    outputs {outputs}\n}}\n")
    };
    let repo = project(&release(""), files);
    let ended = repo.hoist(&["run", "--learn", "t"]);
    assert_eq!(ended.code, 0, "{}", said(&ended));
    assert_eq!(repo.read("release.kdl"), release(""), "nothing is changed");
    let line = proposal(&ended);
    repo.write("release.kdl", release(&line));
    let ended = repo.hoist(&["run", "--sandbox", "t"]);
    assert_eq!(ended.code, 0, "{line}\n{}", said(&ended));
    assert!(!ended.stderr.contains("denied"), "{line}\n{}", said(&ended));
    line
}

#[test]
fn what_is_proposed_makes_the_sandbox_pass() {
    let files = ["src/a.c", "src/b.c", "src/c.c", "src/deep/d.c", "doc/e.md", "app/[id].ts", "Makefile"];
    let line = learn("cat src/a.c Makefile > out/all; cat out/all", "\"out/all\"", &files);
    assert_eq!(line, "inputs \"Makefile\" \"src/a.c\"");
    let line = learn("find src -name '*.c' | xargs cat > out/all", "\"out/all\"", &files);
    assert_eq!(line, "inputs \"**/*.c\"", "`find` opens the directory that it is called in");
    let line = learn("cat 'app/[id].ts' > all", "\"all\"", &files);
    assert_eq!(line, "inputs \"app/\\\\[id\\\\].ts\"");
    let line = learn("ls > all; cat doc/e.md >> all", "\"all\"", &files);
    assert_eq!(line, "inputs \"*\" \"doc/e.md\" \"!all\"");
    let line = learn("echo x > tmp.txt; cat tmp.txt src/a.c > all; rm tmp.txt", "\"all\"", &files);
    assert_eq!(line, "inputs \"src/a.c\"");
}

#[test]
fn what_other_targets_make_is_named_and_what_is_declared_in_vain_is_told() {
    let release = "
        target \"gen\" { run \"echo made > gen/a.txt\"; outputs \"gen/a.txt\"; inputs \"src/a\"; }
        target \"t\" {
            run \"cat gen/a.txt ../../lib/x; echo log > log; test -e gone || true\"
            dir \"services/api\"
            inputs \"../../src/b\"
            needs \"gen\"
        }";
    let release = release.replace("gen/a.txt ../../lib", "../../gen/a.txt ../../lib");
    let repo = project(&release, &["src/a", "src/b", "lib/x", "services/api/main"]);
    let ended = repo.hoist(&["run", "--learn", "t"]);
    let text = "What `t` reads:\n\n    inputs \"../../gen/a.txt\" \"../../lib/x\"\n\n\
                read and not declared: ../../lib/x\ndeclared and not read: ../../src/b\n\
                made or changed, and no output: log\nlooked for and not there: gone\n";
    assert!(ended.stdout.contains(text), "{}", said(&ended));
    let ended = repo.hoist(&["run", "--learn", "--json", "t"]);
    let events: Vec<serde_json::Value> =
        ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let learned = events.iter().find(|event| event["event"] == "learned").unwrap();
    assert_eq!(learned["read"], serde_json::json!(["../../gen/a.txt", "../../lib/x"]));
    assert_eq!(learned["unkept"], serde_json::json!(["log"]));
}

#[test]
fn names_of_files_that_hold_a_secret_are_masked() {
    let script = "cat by/$TOKEN.txt; cat no/$TOKEN || true; echo x > $TOKEN";
    let release = format!("target \"t\" {{ run \"{script}\"; inputs \"a\"; pass-env \"TOKEN\"; }}\n");
    let repo = project(&release, &["a", "by/hunter2hunter2.txt"]);
    for arguments in [&["run", "--learn", "t"][..], &["run", "--learn", "--json", "t"]] {
        let ended = repo.hoist_with(arguments, &[("TOKEN", "hunter2hunter2")]);
        assert_eq!(ended.code, 0, "{}", said(&ended));
        assert!(ended.stdout.contains("by/***.txt"), "{}", said(&ended));
        assert!(!said(&ended).contains("hunter2"), "{}", said(&ended));
    }
    let recorded = fs::read_dir(repo.path().join(".hoist/runs")).unwrap();
    for run in recorded {
        let events = fs::read_to_string(run.unwrap().path().join("events.jsonl")).unwrap();
        assert!(events.contains("by/***.txt") && !events.contains("hunter2"), "{events}");
    }
}

#[test]
fn a_step_does_not_go_on_in_a_sandbox_that_nobody_watches() {
    let script = "echo $$; while test ! -e $TMPDIR/killed; do sleep 0.01; done; touch out";
    let release = target(script, "inputs \"release.kdl\"; outputs \"out\"");
    let repo = project(&release, &[]);
    let (mut child, command) = start(&repo, "t");
    child.kill().expect("hoist runs");
    child.wait().expect("it ends");
    let until = Instant::now() + Duration::from_mins(1);
    while test_kill_process(command).is_ok() && Instant::now() < until {
        std::thread::yield_now();
    }
    assert!(test_kill_process(command).is_err(), "the command ended");
    assert!(!repo.has("out"));
}

#[test]
fn only_what_is_named_is_learned() {
    let repo = project("target \"t\" { run \"cat a\"; }\ndefault \"t\"\n", &["a"]);
    let ended = repo.hoist(&["run", "--learn"]);
    assert_eq!((ended.code, titles(&ended)), (2, vec!["`--learn` needs the name of a target"]));
    let repo = project("target \"all\" { needs \"t\"; }\ntarget \"t\" { run \"cat a\"; }\n", &["a"]);
    let ended = repo.hoist(&["run", "--learn", "all"]);
    let expected = "`--learn` needs the name of a target with commands";
    assert_eq!((ended.code, titles(&ended)), (2, vec![expected]), "{}", said(&ended));
    assert_eq!(ended.stdout, "");
}
