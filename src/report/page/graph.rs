//! How the steps depend on each other.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::plan::{Colour, Sketch, svg_of};
use crate::report::page::{Sheet, class, time};
use crate::report::story::Part;

/// Most boxes that are drawn.
const BOXES: usize = 150;
/// Words of as many bits as there are boxes.
type Drawn = [u64; BOXES.div_ceil(64)];

/// The steps as a graph, coloured by how they ended. Of very many, those that went wrong,
/// those of the critical path, and those that worked longest; what stands between two of
/// them and is left out still joins them.
pub(super) fn section(sheet: &Sheet<'_>) -> String {
    let steps: Vec<(&str, &Part)> =
        sheet.story.steps.iter().map(|(name, part)| (name.as_str(), part)).collect();
    if steps.len() < 2 {
        return String::new();
    }
    let sketches = sketches(sheet, &steps, &chosen(sheet, &steps));
    let mut out = format!("<div class=\"graph\">\n{}</div>\n", svg_of(&sketches));
    if sketches.len() < steps.len() {
        let _ = writeln!(
            out,
            "<p class=\"hint\">{} of {} steps are drawn: what went wrong, the critical path, and what took longest.</p>",
            sketches.len(),
            steps.len()
        );
    }
    out
}

/// For each step, which box it is drawn as.
fn chosen(sheet: &Sheet<'_>, steps: &[(&str, &Part)]) -> Vec<Option<usize>> {
    let interest = |at: &usize| {
        let (name, part) = steps[*at];
        let bad = part.is_bad() || part.is_unfinished();
        (bad, sheet.critical.contains(name), part.milliseconds(), !part.is_group())
    };
    let mut order: Vec<usize> = (0..steps.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(interest(at)));
    order.truncate(BOXES);
    order.sort_unstable();
    let mut chosen = vec![None; steps.len()];
    for (place, at) in order.into_iter().enumerate() {
        chosen[at] = Some(place);
    }
    chosen
}

fn sketches(sheet: &Sheet<'_>, steps: &[(&str, &Part)], chosen: &[Option<usize>]) -> Vec<Sketch> {
    let places: HashMap<&str, usize> = steps.iter().enumerate().map(|(at, (name, _))| (*name, at)).collect();
    let mut sketches = Vec::new();
    // The boxes that lead to each step by way of steps that have none.
    let mut before: Vec<Drawn> = Vec::with_capacity(steps.len());
    for (at, (name, part)) in steps.iter().enumerate() {
        let mut boxes = Drawn::default();
        let needs = part.planned.iter().flat_map(|planned| &planned.needs);
        for need in needs.filter_map(|need| places.get(need.as_str())) {
            if let Some(place) = chosen[*need] {
                boxes[place / 64] |= 1 << (place % 64);
            } else {
                let further = before.get(*need).copied().unwrap_or_default();
                boxes.iter_mut().zip(further).for_each(|(word, further)| *word |= further);
            }
        }
        if chosen[at].is_some() {
            sketches.push(Sketch {
                name: (*name).to_owned(),
                title: title(part),
                colour: colour(part),
                goal: part.planned.as_ref().is_some_and(|planned| planned.goal),
                needs: (0..BOXES).filter(|place| boxes[place / 64] & (1 << (place % 64)) != 0).collect(),
                link: sheet.listed.get(name).map(|row| format!("#s{row}")),
            });
        }
        before.push(boxes);
    }
    sketches
}

fn title(part: &Part) -> String {
    match part.started {
        _ if part.is_group() => "stands for its needs".to_owned(),
        Some(_) => format!("{}, {}", part.word(), time(part.milliseconds())),
        None => part.word().to_owned(),
    }
}

fn colour(part: &Part) -> Colour {
    match class(part) {
        _ if part.is_group() => Colour::Group,
        "ran" => Colour::Ran,
        "restored" => Colour::Restored,
        "present" => Colour::Present,
        "skip" => Colour::Skip,
        "failed" => Colour::Failed,
        "stopped" => Colour::Stopped,
        _ => Colour::NotRun,
    }
}
