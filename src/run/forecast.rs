//! What a run would do, found out without running anything.

use std::fmt;

use crate::cache::{self, Cache, Exactness, Lookup, Miss, Product, Trace};
use crate::diagnostic::Problems;
use crate::oci::Digest;
use crate::plan::{Action, Effect, Gap, NeedKind, Plan, Step, StepIndex};
use crate::run::exact::exactness;
use crate::run::worker::outputs;
use crate::run::{Options, Reason};

/// What a run would do with a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// The step.
    pub step: StepIndex,
    /// What would be done with it.
    pub verdict: Verdict,
    /// The image that it stands for, where that is known before it runs.
    pub image: Option<Digest>,
}

/// What would be done with a step, as far as that is known before it is its turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is to be done in it: it stands for what it needs.
    Group,
    /// Its result is in the cache, and its outputs are as they were made.
    UpToDate,
    /// Its result is in the cache; its outputs would be brought back, for these
    /// reasons; at least one.
    WouldRestore(Vec<Reason>),
    /// It would run, for these reasons; at least one.
    WouldRun(Vec<Reason>),
    /// It would run, as it does each time.
    Always,
    /// It would publish.
    Publishing,
    /// It runs if these steps make something else than the last time.
    Unknown(Vec<StepIndex>),
    /// It does not apply, for this reason.
    Skip(String),
    /// This version cannot do it.
    NotAvailable(Gap),
}

impl Verdict {
    /// One word for it, the same in every version.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::UpToDate => "up-to-date",
            Self::WouldRestore(_) => "would-restore",
            Self::WouldRun(_) => "would-run",
            Self::Always => "always",
            Self::Publishing => "publishing",
            Self::Unknown(_) => "unknown",
            Self::Skip(_) => "skip",
            Self::NotAvailable(_) => "not-available",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What a run would do with each step of a plan, in the order of the plan.
/// Changes nothing.
///
/// # Errors
/// The workspace cannot be read where a run would look at outputs; a symbolic link
/// leads out of the project.
pub fn forecast(plan: &Plan, cache: &Cache, options: &Options) -> Result<Vec<Forecast>, Problems> {
    let products = Vec::with_capacity(plan.steps.len());
    let mut seen = Seen { plan, cache, options, exactness: exactness(plan), products };
    let steps = (0..).map(StepIndex).zip(&plan.steps);
    let forecast = |(index, step): (StepIndex, &Step)| {
        let verdict = seen.look_at(step)?;
        let image = match (&step.action, seen.products.last()) {
            (Action::Found(found), _) => found.image.as_ref().map(|image| image.digest),
            (_, Some(Some(Product::Image(digest)))) => Some(*digest),
            _ => None,
        };
        Ok(Forecast { step: index, verdict, image })
    };
    steps.map(forecast).collect()
}

/// The steps that were looked at, and what is known of their products.
struct Seen<'a> {
    plan: &'a Plan,
    cache: &'a Cache,
    options: &'a Options,
    /// How exactly what each made has to lie there.
    exactness: Vec<Exactness>,
    /// `None` where only running can tell.
    products: Vec<Option<Product>>,
}

impl Seen<'_> {
    fn look_at(&mut self, step: &Step) -> Result<Verdict, Problems> {
        let (verdict, product) = match (&step.action, self.trace(step)) {
            (Action::Skip(reason), _) => (Verdict::Skip(reason.clone()), Some(Product::Nothing)),
            (Action::NotAvailable(gap), _) => (Verdict::NotAvailable(gap.clone()), None),
            (Action::Group, trace) => {
                let product = trace.map(|trace| match step.effect {
                    Effect::Cacheable => Product::Key(trace.key()),
                    Effect::Always | Effect::Publishing => Product::Nothing,
                });
                (Verdict::Group, product.ok())
            }
            (_, _) if step.effect == Effect::Publishing => (Verdict::Publishing, Some(Product::Nothing)),
            (_, trace) if step.effect == Effect::Always => {
                (Verdict::Always, trace.ok().and_then(|trace| ran(step, &trace)))
            }
            (_, Err(waits_for)) if !self.is_forced(step) => (Verdict::Unknown(waits_for), None),
            (_, Err(_)) => (Verdict::WouldRun(vec![self.forced()]), None),
            (_, Ok(trace)) => self.look_up(step, &trace)?,
        };
        self.products.push(product);
        Ok(verdict)
    }

    fn look_up(&self, step: &Step, trace: &Trace) -> Result<(Verdict, Option<Product>), Problems> {
        let product = ran(step, trace);
        if self.is_forced(step) {
            return Ok((Verdict::WouldRun(vec![self.forced()]), product));
        }
        Ok(match self.cache.find(trace) {
            Lookup::Hit(hit) => {
                let exactness = self.exactness.get(self.products.len()).copied().unwrap_or(Exactness::Whole);
                let different = self.cache.differences(&hit, outputs(step), exactness)?;
                let verdict = match different.as_slice() {
                    [] => Verdict::UpToDate,
                    different => {
                        let since = self.cache.since_last(trace);
                        Verdict::WouldRestore(since.iter().chain(different).map(Into::into).collect())
                    }
                };
                (verdict, Some(hit.record.product(step.effect)))
            }
            Lookup::Miss(miss) => (Verdict::WouldRun(reasons(&miss)), product),
        })
    }

    /// The trace of a step, or the steps whose products are not known yet.
    fn trace(&self, step: &Step) -> Result<Trace, Vec<StepIndex>> {
        let needs = || step.needs.iter().filter(|need| need.kind == NeedKind::Product).map(|need| need.step);
        let product = |at: StepIndex| self.products.get(at.0 as usize).copied().flatten();
        let unknown: Vec<StepIndex> = needs().filter(|at| product(*at).is_none()).collect();
        if !unknown.is_empty() {
            return Err(unknown);
        }
        let known = needs().filter_map(|at| Some((&self.plan.steps.get(at.0 as usize)?.id, product(at)?)));
        Ok(Trace::new(&step.id, &step.definition, known))
    }

    const fn is_forced(&self, step: &Step) -> bool {
        self.options.no_cache || (self.options.force && step.goal)
    }

    fn forced(&self) -> Reason {
        Reason::from(if self.options.no_cache { &cache::Reason::CacheOff } else { &cache::Reason::Forced })
    }
}

/// What a step adds to the keys of others once it ran, if that is known before.
fn ran(step: &Step, trace: &Trace) -> Option<Product> {
    let makes_image = matches!(step.action, Action::Assemble(_) | Action::Dockerfile(_) | Action::Index(_));
    match step.effect {
        _ if makes_image || !outputs(step).is_empty() => None,
        Effect::Cacheable => Some(Product::Key(trace.key())),
        Effect::Always | Effect::Publishing => Some(Product::Nothing),
    }
}

/// Why a step runs that the cache does not know.
pub(super) fn reasons(miss: &Miss) -> Vec<Reason> {
    miss.reasons().iter().map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use crate::run::ReasonKind;
    use crate::run::fixture::Project;

    use super::*;

    fn verdicts(project: &Project) -> Vec<Verdict> {
        let request = project.request();
        let forecasts = forecast(&request.plan, &request.cache, &request.options).unwrap();
        forecasts.into_iter().map(|forecast| forecast.verdict).collect()
    }

    fn chain(reads: &str) -> Project {
        let mut project = Project::new();
        project.describe(reads);
        project
    }

    impl Project {
        /// Makes a file, uses it, checks it, and publishes.
        fn describe(&mut self, reads: &str) {
            self.plan.steps.clear();
            self.cached("gen", "echo 1 > made", &[], reads, &["made"]);
            self.cached("use", "cat made", &[0], "", &[]);
            self.cached("check", "true", &[], "", &[]);
            self.target("talk", "true", &[]);
            self.target("publish", "true", &[]).effect = Effect::Publishing;
        }
    }

    fn first() -> Verdict {
        Verdict::WouldRun(vec![Reason::new(ReasonKind::NeverRan, "never ran here")])
    }

    #[test]
    fn what_never_ran_would_run_and_what_needs_its_outputs_is_unknown() {
        let verdicts = verdicts(&chain("a"));
        let unknown = Verdict::Unknown(vec![StepIndex(0)]);
        assert_eq!(verdicts, [first(), unknown, first(), Verdict::Always, Verdict::Publishing]);
    }

    #[test]
    fn what_ran_is_up_to_date_until_something_changes() {
        let mut project = chain("a");
        project.run();
        let up_to_date = || Verdict::UpToDate;
        let rest = || [Verdict::Always, Verdict::Publishing];
        assert_eq!(verdicts(&project)[..3], [up_to_date(), up_to_date(), up_to_date()]);
        assert_eq!(verdicts(&project)[3..], rest());
        project.describe("b");
        let reason = Reason::new(ReasonKind::Changed, "variable READS: a → b");
        let expected = [Verdict::WouldRun(vec![reason]), Verdict::Unknown(vec![StepIndex(0)]), up_to_date()];
        assert_eq!(verdicts(&project)[..3], expected);
    }

    #[test]
    fn outputs_that_are_not_as_they_were_made_would_be_restored() {
        let mut project = chain("a");
        project.run();
        let would = |text: &str| Verdict::WouldRestore(vec![Reason::new(ReasonKind::Output, text)]);
        std::fs::write(project.root().join("made"), "2").unwrap();
        assert_eq!(verdicts(&project)[..2], [would("made is not what was made"), Verdict::UpToDate]);
        std::fs::remove_file(project.root().join("made")).unwrap();
        assert_eq!(verdicts(&project)[..2], [would("made is missing"), Verdict::UpToDate]);
        assert!(project.read("made").is_none());
        // What was so before the last run is known, and the last run was another one.
        project.describe("b");
        project.run();
        project.describe("a");
        std::fs::remove_file(project.root().join("made")).unwrap();
        let changed = Reason::new(ReasonKind::Changed, "variable READS: b → a");
        assert!(
            matches!(&verdicts(&project)[0], Verdict::WouldRestore(reasons) if reasons.first() == Some(&changed))
        );
        project.options.no_cache = true;
        assert!(matches!(verdicts(&project)[0], Verdict::WouldRun(_)));
    }

    #[test]
    fn without_the_cache_all_would_run() {
        let mut project = chain("a");
        project.run();
        project.options.no_cache = true;
        let off = Verdict::WouldRun(vec![Reason::new(ReasonKind::CacheOff, "the cache is off")]);
        assert_eq!(verdicts(&project)[..3], [off.clone(), off.clone(), off]);
    }
}
