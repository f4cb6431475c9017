//! What holds for all texts.

use proptest::prelude::*;

use super::resolve;

/// Texts of the words that mean something.
fn dockerfiles() -> impl Strategy<Value = String> {
    let pieces = [
        "FROM ",
        "a",
        "b ",
        " AS ",
        "COPY ",
        "--from=",
        "RUN ",
        "--mount=from=",
        "<<EOF",
        "EOF",
        "\n",
        "\\\n",
        "\r\n",
        "$",
        "${",
        "}",
        ":-",
        "#",
        "%",
        "/",
        "'",
        "\"",
        "[",
        "]",
        "ONBUILD ",
        "ARG ",
        "ENV ",
        "=",
        " ",
        "scratch",
        "# escape=`\n",
        "`\n",
        "0",
        "USER ",
        "EXPOSE ",
        "é",
        "\u{feff}",
        "--platform=",
        "linux/arm",
        ",",
        "\\",
    ];
    proptest::collection::vec(
        prop_oneof![4 => proptest::sample::select(pieces.to_vec()).prop_map(str::to_owned), 1 => ".{0,3}"],
        0..40,
    )
    .prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_text_holds_it_is_read_or_told_at_a_place_that_is_there(text in dockerfiles(), with_stage: bool) {
        let text = if with_stage { format!("FROM x AS a\n{text}") } else { text };
        let (resolved, sources) = resolve(&text, None, &[("b", "$c")], &["b"], "linux/arm");
        let there = |span: crate::diagnostic::Span| text.get(span.range()).is_some();
        match resolved {
            Ok(found) => {
                prop_assert!(found.stages.contains(&found.target));
                prop_assert!(found.bases.iter().all(|base| there(base.reference.span)));
                prop_assert!(found.features.iter().all(|feature| there(feature.span)));
                prop_assert!(found.effect.user.iter().chain(&found.effect.exposed).all(|word| there(word.span)));
            }
            Err(problems) => {
                prop_assert!(!sources.told(&problems).is_empty());
                let labels = problems.as_slice().iter().flat_map(|problem| &problem.labels);
                for label in labels {
                    prop_assert!(there(label.span), "{:?} {:?}", label, text);
                }
            }
        }
    }
}

#[test]
fn large_files_take_bounded_time_and_stack() {
    let stages: String = (0..20_000).map(|at| format!("FROM s{at} AS s{}\nENV A=$A$A$A\n", at + 1)).collect();
    assert_eq!(
        resolve(&stages, None, &[], &[], "linux/amd64").0.map(|found| found.stages.len()).unwrap_or(1),
        1
    );
    let chain: String = (1..20_000).map(|at| format!("FROM s{} AS s{at}\n", at - 1)).collect();
    let found = resolve(&format!("FROM a AS s0\n{chain}"), None, &[], &[], "linux/amd64").0.unwrap();
    assert_eq!(found.stages.len(), 20_000);
    let arguments: String = (1..20_000).map(|at| format!("ARG A{at}=$A{}$A{}\n", at - 1, at - 1)).collect();
    assert!(
        resolve(&format!("ARG A0=xxxxxxxx\n{arguments}FROM a"), None, &[], &[], "linux/amd64").0.is_err()
    );
    let nested = format!("FROM a\nUSER {}", "${a:-\"".repeat(100_000));
    assert!(resolve(&nested, None, &[], &[], "linux/amd64").0.is_err());
}
