//! Instructions as builders name them.

use super::read;
use crate::dockerfile::{Keyword, Spot};

const TEXT: &str = "# syntax=docker/dockerfile:1\nARG A=1\nARG B\nFROM scratch AS first\nRUN same\nRUN same \\\n\
    # a comment\n  && more\nFROM first\nCOPY <<END /file\nRUN not\nEND\nRUN same\n";

/// The first line of the instruction at a spot.
fn line(spot: &Spot) -> Option<usize> {
    let span = read(TEXT).0.unwrap().at(spot, TEXT)?;
    Some(TEXT[..span.start as usize].matches('\n').count() + 1)
}

#[test]
fn a_line_leads_to_the_instruction_that_it_is_part_of() {
    let lines: Vec<_> = (2..=13).filter_map(|number| line(&Spot::Line(number))).collect();
    assert_eq!(lines, [2, 3, 4, 5, 6, 6, 6, 9, 10, 10, 10, 13]);
    assert_eq!([0, 1, 99].map(|number| line(&Spot::Line(number))), [None, None, Some(13)]);
}

#[test]
fn instructions_are_counted_through_the_file_or_within_a_stage() {
    let lines: Vec<_> = (0..=9).map(|number| line(&Spot::Number(number))).collect();
    let expected = [None, Some(2), Some(3), Some(4), Some(5), Some(6), Some(9), Some(10), Some(13), None];
    assert_eq!(lines, expected);
    let of = |stage, after, keyword| line(&Spot::OfStage { stage, after, keyword });
    assert_eq!([of(0, 1, Keyword::Run), of(0, 0, Keyword::Run)], [Some(5), Some(6)]);
    assert_eq!([of(1, 1, Keyword::Copy), of(1, 0, Keyword::Run)], [Some(10), Some(13)]);
    // The `FROM`, and what its base set aside, come before all of them.
    assert_eq!([of(1, 2, Keyword::From), of(1, 3, Keyword::Run)], [Some(9), Some(9)]);
    // Two that a base set aside come first.
    let all =
        ["[stage-1 2/3] RUN a", "[stage-1 4/3] COPY <<END /file", "[stage-1 5/3] RUN same", "[first 9/9] x"];
    assert_eq!(Spot::in_name(all[1], all.into_iter()).as_ref().and_then(line), Some(10));
    // Who counts in another way is not believed.
    assert_eq!([of(1, 1, Keyword::Run), of(2, 0, Keyword::Run)], [None, None]);
}

#[test]
fn a_step_of_buildkit_is_found_by_what_it_is_called() {
    let of = |name: &str| Spot::in_name(name, [name].into_iter()).as_ref().and_then(line);
    assert_eq!([of("[first 1/2] RUN same"), of("[first 2/2] RUN same   && more")], [Some(5), Some(6)]);
    assert_eq!([of("[stage-1 2/3] COPY <<END /file"), of("[stage-1 3/3] RUN same")], [Some(10), Some(13)]);
    // Who counts in another way is not believed, and what is no instruction is nothing.
    let others = ["[stage-1 2/3] RUN x", "[3/3] RUN same", "[internal] load metadata", "exporting", ""];
    assert_eq!(others.map(of), [None; 5]);
}

#[test]
fn the_line_of_a_parse_error_is_read() {
    let of = Spot::in_words;
    assert_eq!(of("dockerfile parse error on line 3: unknown instruction"), Some(Spot::Line(3)));
    assert_eq!(of("Dockerfile parse error line 12: RUN"), Some(Spot::Line(12)));
    assert_eq!([of("on line 3"), of("parse error on line x"), of("")], [const { None }; 3]);
}
