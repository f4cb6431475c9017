//! The figures of images, put together from the steps of a run, and in words.

use std::fmt::Write as _;

use indexmap::IndexMap;

use crate::diagnostic::{bytes, counted};
use crate::report::story::{Part, Story};
use crate::report::{Look, Paint};
use crate::run::{Bound, BudgetFigures, ImageFigures, Reused, StepEnded, Unit};

/// The image for one platform, with all that a run measured of it.
#[derive(Clone, Debug)]
pub struct Measured<'a> {
    /// The figures.
    pub figures: ImageFigures,
    /// The step that made it, if that was part of the run.
    pub maker: Option<(&'a str, &'a Part)>,
}

impl Measured<'_> {
    /// Milliseconds that it took to make it, if this run made it.
    #[must_use]
    pub fn built(&self) -> Option<u64> {
        let (_, maker) = self.maker?;
        maker.started.and(self.figures.reused).map(|_| maker.milliseconds())
    }

    /// Milliseconds between the time at which making it could begin, and its begin.
    #[must_use]
    pub fn queued(&self) -> Option<u64> {
        self.maker.and_then(|(_, maker)| maker.queued())
    }
}

/// The images of a run, each platform once, in the order of the steps.
#[must_use]
pub fn measured(story: &Story) -> Vec<Measured<'_>> {
    let mut all: IndexMap<(&str, &str), Measured<'_>> = IndexMap::new();
    for (name, part) in story.told() {
        let makes = part.kind().is_some_and(|kind| matches!(kind, "assemble" | "build"));
        for figures in part.end.iter().flat_map(|end| &end.images) {
            let of = (figures.image.as_str(), figures.platform.as_str());
            let known = all.entry(of).or_insert_with(|| Measured { figures: figures.clone(), maker: None });
            known.figures.complete(figures);
            known.maker = known.maker.or(makes.then_some((name, part)));
        }
    }
    all.into_values().collect()
}

/// What there is to say of the images of a step that ended, a line each.
pub(super) fn figure_lines(ended: &StepEnded, look: Look) -> String {
    let mut out = String::new();
    let is_known = |image: &&ImageFigures| image.budget.is_none_or(|budget| !bounds(&budget).is_empty());
    for image in ended.images.iter().filter(is_known) {
        let budget = image.budget.as_ref().map(|budget| budget_words(budget).join(", "));
        let text = match (budget, ended.images.len()) {
            (Some(budget), 1) => format!("budget: {budget}"),
            (None, 1) => summary(image),
            (budget, _) => {
                format!("{}: {}", image.platform, budget.unwrap_or_else(|| summary(image)))
            }
        };
        let _ = writeln!(out, "    {}", look.paint(Paint::Faint, &look.tame(&text)));
    }
    out
}

/// Size, growth, and what was reused, in one line.
fn summary(image: &ImageFigures) -> String {
    let mut text = format!("{} in {}", size_words(image), counted(image.layers.len(), "layer"));
    if let (Some(growth), Some(before)) = (image.growth(), &image.before) {
        let _ = write!(text, ", {} since {}", growth_words(growth), before.name);
    }
    if let Some(reused) = image.reused.filter(|reused| reused.all > 0) {
        let _ = write!(text, "; {} reused", reused_words(reused));
    }
    text
}

/// `24.1 MB`, or where only that is known `8.2 MB to transfer`.
pub(super) fn size_words(image: &ImageFigures) -> String {
    match image.size {
        Some(size) => bytes(size),
        None => format!("{} to transfer", bytes(image.transferred)),
    }
}

/// `+1.2 MB`, `−300 B`, `no change`.
pub(super) fn growth_words(growth: i128) -> String {
    let size = bytes(u64::try_from(growth.unsigned_abs()).unwrap_or(u64::MAX));
    match growth {
        0 => "no change".to_owned(),
        1.. => format!("+{size}"),
        _ => format!("-{size}"),
    }
}

/// `5 of 7 instructions`.
pub(super) fn reused_words(reused: Reused) -> String {
    let unit = match reused.unit {
        Unit::Instruction => "instruction",
        Unit::Layer => "layer",
    };
    format!("{} of {}", reused.reused, counted(reused.all, unit))
}

/// What a budget bounds, the name of each bound with it.
pub(super) fn bounds(budget: &BudgetFigures) -> Vec<(&'static str, Bound)> {
    let all = [("size", budget.size), ("layers", budget.layers), ("wasted", budget.wasted)];
    all.into_iter().filter_map(|(name, bound)| Some((name, bound?))).collect()
}

/// An amount of what is bounded.
pub(super) fn amount(name: &str, amount: u64) -> String {
    if name == "layers" { amount.to_string() } else { bytes(amount) }
}

/// What is left of each bound: `size 12.3 MB left`, `layers 2 over`.
pub(super) fn budget_words(budget: &BudgetFigures) -> Vec<String> {
    let words = |(name, bound): (&str, Bound)| {
        let left = bound.left();
        let amount = amount(name, u64::try_from(left.unsigned_abs()).unwrap_or(u64::MAX));
        format!("{name} {amount} {}", if left < 0 { "over" } else { "left" })
    };
    bounds(budget).into_iter().map(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{Script, figures};
    use crate::run::{Happening, Outcome};

    #[test]
    fn what_steps_say_of_one_image_is_put_together() {
        let mut script = Script::begin(&[("web:build@linux/amd64", &[]), ("web:budget", &[])]);
        script.kind("web:build@linux/amd64", "build").kind("web:budget", "budget");
        script.ready("web:build@linux/amd64").at(300).started("web:build@linux/amd64").at(1500);
        let reused = Some(Reused { unit: Unit::Instruction, all: 4, reused: 3 });
        let built = ImageFigures { size: None, wasted: None, budget: None, reused, ..figures() };
        script.measured("web:build@linux/amd64", Outcome::Ran, 1200, vec![built]);
        script.measured("web:budget", Outcome::Ran, 5, vec![figures()]);
        let story = Story::of(script.events);
        let all = measured(&story);
        let [one] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!((one.built(), one.queued()), (Some(1200), Some(300)));
        assert_eq!((one.figures.size, one.figures.reused), (figures().size, reused));
    }

    #[test]
    fn the_end_of_a_step_says_what_its_image_weighs() {
        let mut script = Script::begin(&[("web:build@linux/amd64", &[])]);
        let built = ImageFigures { budget: None, ..figures() };
        let bare = ImageFigures { size: None, before: None, ..built.clone() };
        script.measured("web:build@linux/amd64", Outcome::Ran, 1, vec![built, bare, figures()]);
        let Some(Happening::StepEnded(ended)) = script.events.pop().map(|event| event.what) else { panic!() };
        let expected = "    linux/amd64: 24.0 MB in 2 layers, +4.0 MB since ghcr.io/acme/web:1.2; 1 of 2 layers reused\n    \
                        linux/amd64: 9.0 MB to transfer in 2 layers; 1 of 2 layers reused\n    \
                        linux/amd64: size 6.0 MB left, layers 1 over, wasted 200.0 kB left\n";
        assert_eq!(figure_lines(&ended, Look::PLAIN), expected);
    }
}
