//! What is told of Dockerfiles that are wrong.

use super::{read, resolve};
use crate::diagnostic::Code;
use crate::dockerfile::MAX_BYTES;

/// Code and place of each problem of a text, or of a build of it.
fn told(text: &str) -> Vec<(Code, String)> {
    let (resolved, sources) = resolve(text, None, &[], &[], "linux/amd64");
    let told = sources.told(&resolved.unwrap_err());
    told.into_iter().map(|(code, _, place)| (code, place)).collect()
}

fn one(text: &str) -> (Code, String) {
    let mut told = told(text);
    assert_eq!(told.len(), 1, "{text:?}: {told:?}");
    told.remove(0)
}

#[test]
fn an_unknown_instruction_is_told_with_the_one_that_was_meant() {
    let (file, sources) = read("FROM a\nRUNN ls\nCOPPY a b\nqqqqqq\n");
    let problems = file.unwrap_err();
    let helps: Vec<_> = problems.as_slice().iter().map(|problem| problem.help.clone().unwrap()).collect();
    let unknown =
        |name: &str| (Code::UnknownInstruction, format!("there is no instruction `{name}`"), name.to_owned());
    assert_eq!(sources.told(&problems), ["RUNN", "COPPY", "qqqqqq"].map(unknown));
    assert_eq!(helps[..2], ["did you mean `RUN`?", "did you mean `COPY`?"]);
    assert!(helps[2].starts_with("a line that belongs to the one before"));
}

#[test]
fn an_instruction_that_is_not_complete_points_to_itself() {
    let cases = [
        ("ADD", "ADD"),
        ("COPY a", "COPY a"),
        ("ENV", "ENV"),
        ("ENV a", "ENV a"),
        ("ENV a=1 b", "ENV a=1 b"),
        ("ENV =x", "ENV =x"),
        ("LABEL", "LABEL"),
        ("ARG", "ARG"),
        ("EXPOSE", "EXPOSE"),
        ("ONBUILD", "ONBUILD"),
        ("ONBUILD FROM x", "FROM"),
        ("ONBUILD ONBUILD RUN x", "ONBUILD"),
        ("SHELL /bin/sh", "SHELL /bin/sh"),
        ("USER", "USER"),
        ("WORKDIR  ", "WORKDIR"),
        ("CMD [\"a\", 1]", "[\"a\", 1]"),
        ("RUN --mont=x ls", "--mont=x"),
        ("WORKDIR --x /a", "--x"),
        ("RUN <<EOF\nls", "RUN <<EOF"),
        ("RUN <<'EOF", "RUN <<'EOF"),
        ("FROM a b", "FROM a b"),
        ("FROM a b c", "b"),
        ("FROM a AS 1x", "1x"),
        ("FROM", "FROM"),
        ("COPY --from=$X a b", "--from=$X"),
        ("RUN --mount=from=${X},target=/x ls", "--mount=from=${X},target=/x"),
        ("USER ${", "${"),
    ];
    for (text, place) in cases {
        let line = format!("FROM a\n{text}\n");
        if text == "RUN <<'EOF" {
            // A line whose quotes have no end is left to the shell.
            assert!(read(&line).0.is_ok());
            continue;
        }
        assert_eq!(one(&line), (Code::InvalidInstruction, place.to_owned()), "{text:?}");
    }
}

#[test]
fn a_file_without_a_stage_and_what_stands_before_it_are_told() {
    assert_eq!(one(""), (Code::InvalidInstruction, String::new()));
    assert_eq!(one("# only a comment\n"), (Code::InvalidInstruction, String::new()));
    assert_eq!(one("ARG X\nRUN x\nRUN y\nFROM a"), (Code::InvalidInstruction, "RUN x".to_owned()));
    assert_eq!(one("# escape=x\nFROM a"), (Code::InvalidInstruction, "x".to_owned()));
    assert_eq!(one("# escape=`\n# escape=`\nFROM a"), (Code::InvalidInstruction, "`".to_owned()));
    assert_eq!(one(&format!("FROM a\n#{}", "x".repeat(MAX_BYTES))).0, Code::TooLarge);
}

#[test]
fn names_that_lead_nowhere_are_told_where_they_stand() {
    assert_eq!(one("FROM Acme/Web:x"), (Code::InvalidReference, "Acme/Web:x".to_owned()).clone());
    assert_eq!(one("FROM a\nCOPY --from=a:b:c x y"), (Code::InvalidReference, "--from=a:b:c".to_owned()));
    assert_eq!(one("ARG V\nFROM $V"), (Code::InvalidReference, "$V".to_owned()));
    assert_eq!(one("FROM a\nCOPY --from=3 x y"), (Code::UnknownStage, "--from=3".to_owned()));
    assert_eq!(one("FROM a\nCOPY --from=-1 x y"), (Code::UnknownStage, "--from=-1".to_owned()));
    assert_eq!(one("FROM --platform=$NONE a"), (Code::InvalidPlatform, "--platform=$NONE".to_owned()));
    assert_eq!(
        one("ARG X=\"${A?must be set}\"\nFROM a"),
        (Code::InvalidInstruction, "X=\"${A?must be set}\"".to_owned())
    );
    let (resolved, _) = resolve("FROM a AS build\nFROM Build", None, &[], &[], "linux/amd64");
    let problems = resolved.unwrap_err();
    assert_eq!(problems.as_slice()[0].help.as_deref(), Some("the stage is called `build`"));
}

#[test]
fn an_unknown_target_names_those_that_there_are() {
    let help = |text: &str, target: &str| {
        let (resolved, _) = resolve(text, Some(target), &[], &[], "linux/amd64");
        let problems = resolved.unwrap_err();
        assert_eq!(problems.as_slice()[0].code, Code::UnknownStage);
        problems.as_slice()[0].help.clone().unwrap()
    };
    let text = "FROM a AS build\nFROM a AS production";
    assert_eq!(help(text, "prodution"), "did you mean `production`?");
    assert_eq!(help(text, "x"), "it has `build`, `production`");
    assert_eq!(help("FROM a", "x"), "no stage of it has a name: `FROM image AS name` gives one");
}

#[test]
fn stages_that_need_each_other_are_told_in_order() {
    assert_eq!(
        one("FROM busybox AS stage0\nCOPY --from=stage0 f1 /sub/\n"),
        (Code::Cycle, "--from=stage0".to_owned())
    );
    let text = "FROM b AS s0\nCOPY --from=s2 a /\nFROM b AS s1\nCOPY --from=s0 a /\nFROM b AS s2\nCOPY --from=s1 a /\n";
    let (resolved, sources) = resolve(text, None, &[], &[], "linux/amd64");
    let problems = resolved.unwrap_err();
    let problem = &problems.as_slice()[0];
    assert_eq!(problem.title, "the stages `s0`, `s2`, `s1` need each other");
    let places: Vec<_> = problem.labels.iter().map(|label| sources.span(label.span)).collect();
    assert_eq!(places, ["--from=s2", "--from=s1", "--from=s0"]);
}

#[test]
fn all_mistakes_are_told_at_once() {
    let codes: Vec<_> =
        told("RUNN a\nFROM a\nCOPY a\nUSERR b\nFROM a b c\n").into_iter().map(|(code, _)| code).collect();
    let expected = [
        Code::UnknownInstruction,
        Code::InvalidInstruction,
        Code::UnknownInstruction,
        Code::InvalidInstruction,
    ];
    assert_eq!(codes, expected);
    let codes: Vec<_> =
        told("FROM A:\nFROM B:\nCOPY --from=9 a b").into_iter().map(|(code, _)| code).collect();
    assert_eq!(codes, [Code::InvalidReference, Code::InvalidReference]);
}
