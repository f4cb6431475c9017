//! Here-documents, against the cases of BuildKit's `parser_heredoc_test.go`.

use super::read;

/// Name, content, whether it expands, whether it chomps, and descriptor.
type Found<'a> = (&'a str, &'a str, bool, bool, u32);

#[test]
fn here_documents_are_found_and_ended_as_buildkit_does() {
    let cases: &[(&str, &[Found<'_>])] = &[
        ("RUN <<EMPTY\nEMPTY", &[("EMPTY", "", true, false, 0)]),
        ("RUN 3<<EMPTY2\nEMPTY2", &[("EMPTY2", "", true, false, 3)]),
        ("RUN \"<<NOHEREDOC\"", &[]),
        ("RUN '<<EOF'", &[]),
        ("RUN [\"<<EOF\"]", &[]),
        ("RUN cat <<<EOF", &[]),
        ("RUN <<INDENT\n\tfoo\n\tbar\nINDENT", &[("INDENT", "\tfoo\n\tbar\n", true, false, 0)]),
        ("RUN <<-UNINDENT2\n\tbaz\n\tquux\n\tUNINDENT2", &[("UNINDENT2", "\tbaz\n\tquux\n", true, true, 0)]),
        ("RUN <<-'NOEXPAND'\n\tdon't $NAME\nNOEXPAND", &[("NOEXPAND", "\tdon't $NAME\n", false, true, 0)]),
        (
            "RUN <<COMMENT\n# internal\necho \\\nCOMMENT",
            &[("COMMENT", "# internal\necho \\\n", true, false, 0)],
        ),
        ("RUN --mount=type=cache,target=/foo <<MOUNT\necho\nMOUNT", &[("MOUNT", "echo\n", true, false, 0)]),
        (
            "COPY <<FILE1 <<FILE2 /dest\ncontent 1\nFILE1\ncontent 2\nFILE2",
            &[("FILE1", "content 1\n", true, false, 0), ("FILE2", "content 2\n", true, false, 0)],
        ),
        ("COPY <<X <<Y /dest\nY\nX\nX\nY", &[("X", "Y\n", true, false, 0), ("Y", "X\n", true, false, 0)]),
        ("RUN <<COMPLEX python3\nprint()\nCOMPLEX", &[("COMPLEX", "print()\n", true, false, 0)]),
        ("COPY <<file.txt /dest\nhello\nfile.txt", &[("file.txt", "hello\n", true, false, 0)]),
        ("RUN <<eo'f'\necho foo\neof", &[("eof", "echo foo\n", false, false, 0)]),
        ("RUN <<eo\\'f\necho foo\neo'f", &[("eo'f", "echo foo\n", true, false, 0)]),
        ("RUN <<'e'o\\'f\necho foo\neo'f", &[("eo'f", "echo foo\n", false, false, 0)]),
        ("RUN <<'one two'\necho bar\none two", &[("one two", "echo bar\n", false, false, 0)]),
        ("RUN <<$EOF\n$EOF", &[("$EOF", "", true, false, 0)]),
        ("RUN <<  EOF\nEOF", &[("EOF", "", true, false, 0)]),
        ("RUN <<  EOF  > foo\nEOF", &[("EOF", "", true, false, 0)]),
        ("RUN << -EOF\n-EOF", &[("-EOF", "", true, false, 0)]),
        ("RUN <<A\r\nx\r\nA\r\nRUN y", &[("A", "x\r\n", true, false, 0)]),
    ];
    for (text, expected) in cases {
        let (file, sources) = read(&format!("FROM alpine:3.6\n{text}\nUSER me\n"));
        let file = file.unwrap();
        let found: Vec<_> = file.stages[0].instructions[0]
            .heredocs
            .iter()
            .map(|it| (it.name.as_str(), sources.span(it.content), it.expands, it.chomps, it.descriptor))
            .collect();
        assert_eq!(found, *expected, "{text}");
        let last = file.stages[0].instructions.last().map(|last| last.keyword.to_string());
        assert_eq!(last.as_deref(), Some("USER"), "{text}");
    }
}

#[test]
fn other_instructions_have_none_and_what_is_set_aside_may() {
    let (file, _) = read("FROM a\nUSER <<INVALID\nLABEL a=<<X\nONBUILD RUN <<EOF\nls\nEOF\n");
    let file = file.unwrap();
    let [user, label, onbuild] = file.stages[0].instructions.as_slice() else { panic!("three") };
    assert!(user.heredocs.is_empty() && label.heredocs.is_empty() && onbuild.heredocs.is_empty());
    assert_eq!(onbuild.trigger.as_ref().unwrap().heredocs.len(), 1);
}
