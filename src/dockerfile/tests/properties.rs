//! What holds for all texts.

use proptest::prelude::*;

use super::resolve;
use crate::dockerfile::stage::MAX_PROBLEMS;

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

/// One line for each number.
fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (1..count).map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn large_files_take_bounded_time_and_stack() {
    let stages = |text: &str| resolve(text, None, &[], &[], "linux/amd64").0.map(|found| found.stages.len());
    let growing = lines(20_000, |at| format!("FROM s{at} AS s{}\nENV A=$A$A$A", at + 1));
    assert!(stages(&growing).is_err());
    let chain = lines(20_000, |at| format!("FROM s{} AS s{at}", at - 1));
    assert_eq!(stages(&format!("FROM a AS s0\n{chain}")), Ok(20_000));
    let arguments = lines(20_000, |at| format!("ARG A{at}=$A{0}$A{0}", at - 1));
    assert!(stages(&format!("ARG A0=xxxxxxxx\n{arguments}\nFROM a")).is_err());
    let long = format!("ARG A={}\n", "x".repeat(60_000));
    assert!(stages(&format!("{long}{}", lines(20_000, |_| "FROM $A".to_owned()))).is_err());
    assert!(stages(&format!("FROM a\n{long}{}", lines(20_000, |_| "EXPOSE $A".to_owned()))).is_err());
    assert!(stages(&format!("FROM a\nUSER {}", "${a:-\"".repeat(100_000))).is_err());
    assert!(stages(&lines(200_000, |_| "x".to_owned())).is_err_and(|it| it.as_slice().len() == MAX_PROBLEMS));
}
