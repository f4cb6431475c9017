//! Lines, directives, flags, and arguments.

use super::read;
use crate::dockerfile::{Dockerfile, Instruction};

/// The instructions as BuildKit's parser dumps them: keyword, flags, arguments.
fn dump(file: &Dockerfile) -> Vec<String> {
    let one = |read: &Instruction| {
        let flags = read.flags.iter().map(|flag| match &flag.value {
            Some(value) => format!("--{}={value}", flag.name),
            None => format!("--{}", flag.name),
        });
        let arguments = read.arguments.iter().map(|argument| format!("{:?}", argument.value));
        let words = std::iter::once(read.keyword.to_string()).chain(flags).chain(arguments);
        words.collect::<Vec<_>>().join(" ")
    };
    let stages = file.stages.iter().flat_map(|stage| stage.instructions.iter());
    file.globals.iter().chain(stages).map(one).collect()
}

fn dumped(text: &str) -> Vec<String> {
    dump(&read(&format!("FROM x\n{text}")).0.unwrap())
}

#[test]
fn lines_are_continued_as_buildkit_does() {
    assert_eq!(dumped("RUN a \\\n  b"), [r#"RUN "a   b""#]);
    assert_eq!(dumped("RUN a \\  \t\n# note\n   # note\n\nb"), [r#"RUN "a b""#]);
    assert_eq!(dumped("RUN a \\\\\nUSER b"), [r#"RUN "a \\\\""#, r#"USER "b""#]);
    assert_eq!(dumped("RUN a \\\r\n  b\r\nUSER c\r\n"), [r#"RUN "a   b""#, r#"USER "c""#]);
    assert_eq!(
        dumped("  run a # not a comment\n\n\t# one\nuser b"),
        [r#"RUN "a # not a comment""#, r#"USER "b""#]
    );
    assert_eq!(dumped("RUN a \\"), [r#"RUN "a""#]);
    assert_eq!(dumped("\\\n\\\nRUN a"), [r#"RUN "a""#]);
    let (file, _) = read("\u{feff}# escape=`\nFROM x\nCOPY a `\n c:\\\nRUN b");
    assert_eq!(dump(&file.unwrap()), [r#"COPY "a" "c:\\""#, r#"RUN "b""#]);
}

#[test]
fn arguments_have_the_form_that_their_instruction_gives_them() {
    assert_eq!(dumped(r#"CMD ["a", "b c"]"#), [r#"CMD "a" "b c""#]);
    assert_eq!(dumped(r"CMD ['a']"), [r#"CMD "['a']""#]);
    assert_eq!(dumped(r"CMD []"), ["CMD"]);
    assert_eq!(dumped("COPY  a   b\t c"), [r#"COPY "a" "b" "c""#]);
    assert_eq!(dumped(r#"ENV a="b c" d=e\ f g='h"i'"#), [r#"ENV "a=\"b c\"" "d=e\\ f" "g='h\"i'""#]);
    assert_eq!(dumped("ENV name value  with=blanks"), [r#"ENV "name=value  with=blanks""#]);
    assert_eq!(dumped("ARG a b=c"), [r#"ARG "a" "b=c""#]);
    assert_eq!(dumped("EXPOSE 80 443/udp"), [r#"EXPOSE "80" "443/udp""#]);
    assert_eq!(dumped("HEALTHCHECK --interval=5s CMD curl x"), [r#"HEALTHCHECK --interval=5s "CMD curl x""#]);
    assert_eq!(
        dumped("RUN --mount=type=cache,target=/a --network=none ls --x"),
        [r#"RUN --mount=type=cache,target=/a --network=none "ls --x""#]
    );
    assert_eq!(dumped("COPY --chown=\"a b\" --link -- --x /y"), [r#"COPY --chown=a b --link "--x" "/y""#]);
}

#[test]
fn directives_count_at_the_top_alone() {
    let (file, sources) =
        read("# Syntax = docker/dockerfile:1.7-labs \n#check=skip=all\n\n# escape=`\nFROM x");
    let directives = file.unwrap().directives;
    let syntax = directives.syntax.unwrap();
    assert_eq!(
        (syntax.as_str(), sources.span(syntax.span)),
        ("docker/dockerfile:1.7-labs", "docker/dockerfile:1.7-labs")
    );
    assert_eq!(directives.check.unwrap().value, "skip=all");
    assert_eq!(directives.escape, None);
    let foreign =
        |syntax: &str| read(&format!("# syntax={syntax}\nFROM x")).0.unwrap().directives.is_foreign();
    assert!(!foreign("docker/dockerfile") && !foreign("docker.io/docker/dockerfile:1@sha256:00"));
    assert!(foreign("acme/frontend:1") && foreign("ghcr.io/docker/dockerfile"));
    let (file, _) = read("# syntax=acme/frontend\nFROM x\nQUANTIZE --type=q4 a b\n");
    assert_eq!(dump(&file.unwrap()), [r#"? --type=q4 "a b""#]);
}

#[test]
fn each_place_is_the_bytes_that_were_written() {
    let text = "ARG A\nFROM --platform=$A \\\n  # why\n  alpine:3 \\\n AS Build\nRUN --mount=type=bind,\\\nfrom=x ls\n";
    let (file, sources) = read(text);
    let file = file.unwrap();
    let stage = &file.stages[0];
    assert_eq!(sources.span(file.globals[0].arguments[0].span), "A");
    assert_eq!(sources.span(stage.from.span), "alpine:3");
    let name = stage.name.as_ref().unwrap();
    assert_eq!((name.as_str(), sources.span(name.span)), ("build", "Build"));
    assert_eq!(sources.span(stage.platform.as_ref().unwrap().span), "--platform=$A");
    let run = &stage.instructions[0];
    assert_eq!(sources.span(run.flags[0].span), "--mount=type=bind,\\\nfrom=x");
    assert_eq!(run.flags[0].value.as_deref(), Some("type=bind,from=x"));
    assert_eq!(sources.span(run.arguments[0].span), "ls");
}
