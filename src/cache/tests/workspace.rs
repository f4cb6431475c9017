//! Outputs, out of the workspace and back into it.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};

use super::{Fixture, chmod, is_root, large, path, tree};
use crate::cache::{OutputKind, Restoration};
use crate::diagnostic::Code;

#[test]
fn a_build_that_writes_to_a_restored_file_does_not_write_to_the_cache() {
    let fixture = Fixture::new(&["out"]);
    for content in [large("content"), "content".to_owned()] {
        fixture.write("out", &content);
        fixture.save(1);
        fs::write(fixture.path("out"), "CONTENT").unwrap();
        fixture.restored(1);
        assert_eq!(fs::metadata(fixture.path("out")).unwrap().nlink(), 1);
        fs::write(fixture.path("out"), "CONTENT").unwrap();
        assert_eq!(fixture.restored(1), ["out is not what was made"]);
        assert_eq!(fixture.read("out"), Some(content));
        fixture.forget(1);
    }
}

#[test]
fn outputs_that_lie_there_are_left_alone() {
    let fixture = Fixture::new(&["out", "report.xml"]);
    fixture.write("out/a", "a");
    fixture.write("report.xml", "x");
    fixture.save(1);
    let inode = |path: &str| fs::metadata(fixture.path(path)).unwrap().ino();
    let before = (inode("out/a"), inode("report.xml"));
    assert_eq!(fixture.restore(1).unwrap(), Restoration::Current);
    chmod(&fixture.path("report.xml"), 0o600);
    fs::remove_file(fixture.path("out/a")).unwrap();
    assert_eq!(fixture.restored(1), ["out/a is missing", "report.xml is not what was made"]);
    assert_ne!((inode("out/a"), inode("report.xml")), before);
    assert_eq!(fixture.restore(1).unwrap(), Restoration::Current);
}

#[test]
fn what_is_left_over_in_an_output_directory_is_moved_away_and_nothing_else_is() {
    let fixture = Fixture::new(&["out", "reports/*.xml", "lib/**", "!lib/keep", "!lib/deep/keep"]);
    fixture.write("out/a", "a");
    fixture.write("reports/a.xml", "a");
    fixture.write("lib/a", "a");
    fixture.save(1);
    for stale in ["out/old", "out/deep/old", "lib/old", "lib/deep/old"] {
        fixture.write(stale, stale);
    }
    let users = ["reports/old.xml", "reports/note", "lib/keep", "lib/deep/keep", "outside", "out-side/x"];
    for user in users {
        fixture.write(user, user);
    }
    let expected = [
        "lib/deep/old is left over",
        "lib/old is left over",
        "out/deep is left over",
        "out/old is left over",
    ];
    assert_eq!(fixture.restored(1), expected);
    for user in users {
        assert_eq!(fixture.read(user).as_deref(), Some(user));
    }
    for stale in ["out/old", "out/deep/old", "lib/old", "lib/deep/old"] {
        assert_eq!(fixture.read(stale), None);
        assert_eq!(fixture.read(&format!(".hoist/displaced/1/{stale}")).as_deref(), Some(stale));
    }
    assert_eq!(fixture.restore(1).unwrap(), Restoration::Current);
    fixture.write("out/old", "newer");
    fixture.restored(1);
    assert_eq!(fixture.read(".hoist/displaced/2/out/old").as_deref(), Some("newer"));
}

#[test]
fn what_a_restoration_left_behind_that_was_killed_is_moved_away() {
    let fixture = Fixture::new(&["out"]);
    fixture.write("out/a", "a");
    fixture.save(1);
    fixture.write("out/.hoist-restore-x", "a");
    assert_eq!(fixture.restored(1), ["out/.hoist-restore-x is left over"]);
    assert_eq!(fixture.read("out/.hoist-restore-x"), None);
    assert_eq!(fixture.restore(1).unwrap(), Restoration::Current);
}

#[test]
fn a_whole_project_as_output_never_has_anything_moved_away() {
    let fixture = Fixture::new(&["**/*.o"]);
    fixture.write("a.o", "a");
    fixture.write(".git/b.o", "b");
    fixture.write(".hoist/c.o", "c");
    assert_eq!(fixture.collected(), ["a.o"]);
    fixture.save(1);
    fixture.write("src/mine.o", "mine");
    assert_eq!(fixture.restore(1).unwrap(), Restoration::Current);
}

#[test]
fn another_kind_of_thing_in_an_outputs_place_is_moved_away() {
    let fixture = Fixture::new(&["file", "dir", "link"]);
    fixture.write("file", "f");
    fixture.write("dir/a", "a");
    symlink("file", fixture.path("link")).unwrap();
    fixture.save(1);
    let made = tree(&fixture.root());
    fixture.wipe();
    fixture.write("file/mine", "mine");
    fixture.write("elsewhere/a", "a");
    symlink("elsewhere", fixture.path("dir")).unwrap();
    fixture.write("link", "not one");
    fixture.restored(1);
    assert_eq!(fixture.read(".hoist/displaced/1/file/mine").as_deref(), Some("mine"));
    assert_eq!(fixture.read("elsewhere/a").as_deref(), Some("a"));
    fs::remove_dir_all(fixture.path(".hoist")).unwrap();
    fs::remove_dir_all(fixture.path("elsewhere")).unwrap();
    assert_eq!(tree(&fixture.root()), made);
}

#[test]
fn what_was_moved_away_is_never_in_the_way_of_what_is_moved_next() {
    let fixture = Fixture::new(&["out"]);
    let displace = || {
        fixture.write("out", "mine");
        let moved = fixture.clear().moved.unwrap();
        assert_eq!(fs::read_to_string(fixture.root().join(&moved).join("out")).unwrap(), "mine");
        moved.file_name().unwrap().to_string_lossy().parse::<usize>().unwrap()
    };
    for number in 1..=20 {
        assert_eq!(displace(), number);
    }
    fs::remove_dir_all(fixture.path(".hoist/displaced/2")).unwrap();
    fixture.write(".hoist/displaced/22", "somebody's");
    let next: HashSet<usize> = (0..3).map(|_| displace()).collect();
    assert_eq!(next.len(), 3);
    assert_eq!(fs::read_dir(fixture.path(".hoist/displaced")).unwrap().count(), 23);
}

#[test]
fn a_file_in_the_way_of_a_directory_that_is_not_declared_stops_before_anything_is_written() {
    let fixture = Fixture::new(&["a.txt", "deep/*.txt"]);
    fixture.write("a.txt", "a");
    fixture.write("deep/b.txt", "b");
    fixture.save(1);
    fixture.wipe();
    fixture.write("deep", "mine");
    let before = tree(&fixture.root());
    let problems = fixture.restore(1).unwrap_err();
    assert_eq!(problems.as_slice()[0].code, Code::ReadOnly);
    assert_eq!(problems.as_slice()[0].title, "`deep/b.txt` cannot be made: `deep` is not a directory");
    assert_eq!(tree(&fixture.root()), before);
}

#[test]
fn in_a_read_only_project_nothing_is_half_written() {
    if is_root() {
        // Permissions do not bind root.
        return;
    }
    let fixture = Fixture::new(&["a", "sub/b", "sub/link"]);
    fixture.write("a", "a");
    fixture.write("sub/b", "b");
    symlink("b", fixture.path("sub/link")).unwrap();
    fixture.save(1);
    fs::remove_file(fixture.path("a")).unwrap();
    fs::remove_file(fixture.path("sub/link")).unwrap();
    chmod(&fixture.path("sub"), 0o555);
    let before = tree(&fixture.root());
    let problems = fixture.restore(1).unwrap_err();
    chmod(&fixture.path("sub"), 0o755);
    assert_eq!(problems.as_slice()[0].code, Code::ReadOnly);
    chmod(&fixture.path("sub"), 0o555);
    assert_eq!(tree(&fixture.root()), before);
    chmod(&fixture.path("sub"), 0o755);
}

#[test]
fn read_only_directories_are_made_and_mended() {
    let fixture = Fixture::new(&["out"]);
    fixture.write("out/deep/a", "a");
    chmod(&fixture.path("out/deep"), 0o555);
    chmod(&fixture.path("out"), 0o555);
    let made = tree(&fixture.root());
    fixture.save(1);
    chmod(&fixture.path("out"), 0o755);
    chmod(&fixture.path("out/deep"), 0o755);
    fs::remove_dir_all(fixture.path("out")).unwrap();
    fixture.restored(1);
    assert_eq!(tree(&fixture.root()), made);
    chmod(&fixture.path("out/deep"), 0o755);
    fs::write(fixture.path("out/deep/a"), "b").unwrap();
    chmod(&fixture.path("out/deep"), 0o555);
    assert_eq!(fixture.restored(1), ["out/deep/a is not what was made"]);
    assert_eq!(fs::read_to_string(fixture.path(".hoist/displaced/1/out/deep/a")).unwrap(), "b");
    fs::remove_dir_all(fixture.path(".hoist")).unwrap();
    assert_eq!(tree(&fixture.root()), made);
    for dir in ["out", "out/deep"] {
        chmod(&fixture.path(dir), 0o755);
    }
}

#[test]
fn patterns_collect_files_links_and_whole_directories() {
    let fixture = Fixture::new(&["dist", "reports/**/*.xml", "!**/skip", "bin/*"]);
    fixture.write("dist/deep/a", "a");
    fixture.write("dist/skip/b", "b");
    fs::create_dir(fixture.path("dist/empty")).unwrap();
    symlink("../nowhere", fixture.path("dist/dangling")).unwrap();
    symlink("/etc", fixture.path("dist/etc")).unwrap();
    fixture.write("reports/x/a.xml", "a");
    fixture.write("reports/x/a.txt", "a");
    fixture.write("bin/tool", "t");
    fixture.write("bin/dir/inner", "i");
    let expected = [
        "bin/dir",
        "bin/dir/inner",
        "bin/tool",
        "dist",
        "dist/dangling",
        "dist/deep",
        "dist/deep/a",
        "dist/empty",
        "dist/etc",
        "reports/x/a.xml",
    ];
    assert_eq!(fixture.collected(), expected);
    let outputs = fixture.collect().unwrap();
    assert_eq!(outputs.get(&path("dist/etc")), Some(&OutputKind::Symlink("/etc".into())));
    assert_eq!(outputs.get(&path("dist/skip")), None);
}

#[test]
fn outputs_that_were_not_made_are_all_reported() {
    let fixture = Fixture::new(&["a", "b/*.xml", "there", "c/**"]);
    fixture.write("there", "x");
    fs::create_dir(fixture.path("c")).unwrap();
    let problems = fixture.collect().unwrap_err();
    let titles: Vec<_> = problems.as_slice().iter().map(|problem| problem.title.as_str()).collect();
    assert_eq!(titles, ["`a` was not made", "`b/*.xml` was not made", "`c/**` was not made"]);
    assert_eq!(fixture.codes(), [Code::OutputNotMade; 3]);
}

#[test]
fn a_bracket_that_was_meant_as_itself_is_told_how_to_be_written() {
    let fixture = Fixture::new(&["out/[x]"]);
    fixture.write("out/[x]", "x");
    let problems = fixture.collect().unwrap_err();
    let help = problems.as_slice()[0].help.as_deref().unwrap();
    assert!(help.contains(r#"write `"out/\\[x\\]"`"#), "{help}");
}

#[test]
fn a_link_that_leads_out_of_the_project_is_not_followed() {
    let fixture = Fixture::new(&["out/file"]);
    fixture.write("out/file", "f");
    fixture.save(1);
    fixture.wipe();
    let outside = fixture.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, fixture.path("out")).unwrap();
    let problems = fixture.restore(1).unwrap_err();
    assert_eq!(problems.as_slice()[0].code, Code::OutsideProject);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    fs::write(outside.join("file"), "secret").unwrap();
    assert_eq!(fixture.codes(), [Code::OutsideProject]);
}

#[test]
fn a_name_that_is_not_utf8_is_kept() {
    use std::os::unix::ffi::OsStrExt as _;
    let fixture = Fixture::new(&["out"]);
    fixture.write("out/a", "a");
    let odd = fixture.path("out").join(std::ffi::OsStr::from_bytes(b"\xff%20"));
    fs::write(&odd, "odd").unwrap();
    symlink(std::ffi::OsStr::from_bytes(b"\xfe"), fixture.path("out/link")).unwrap();
    let made = tree(&fixture.root());
    fixture.save(1);
    fixture.wipe();
    fixture.restored(1);
    assert_eq!(tree(&fixture.root()), made);
}

#[test]
fn patterns_with_odd_characters_mean_what_they_say() {
    let fixture = Fixture::new(&["out/", "./a\\b", "x\\[1\\]", "{c,d}.txt"]);
    for path in ["out/a", "a\\b", "x[1]", "c.txt", "d.txt", "e.txt"] {
        fixture.write(path, path);
    }
    assert_eq!(fixture.collected(), ["a\\b", "c.txt", "d.txt", "out", "out/a", "x[1]"]);
    let fixture = Fixture::new(&["a[", "b"]);
    assert_eq!(fixture.codes(), [Code::InvalidValue]);
}

#[test]
fn a_pipe_among_the_outputs_is_refused() {
    let fixture = Fixture::new(&["out"]);
    fs::create_dir(fixture.path("out")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, fixture.path("out/pipe"), rustix::fs::Mode::RUSR).unwrap();
    assert_eq!(fixture.codes(), [Code::OutputNotMade]);
}
