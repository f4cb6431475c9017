//! Carries out one step: whether it has to run, its action, what is kept of it.
#![expect(clippy::disallowed_methods, reason = "records tell when a step ran")]

use std::panic;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::watch;

use crate::cache::{
    Exactness, Lookup, Miss, Outcome, Output, Outputs, Product, Reason, Restoration, Standing, Trace, clock,
};
use crate::config::Pattern;
use crate::diagnostic::{Code, Problem, Problems};
use crate::facts::{Clock, KnownFiles, read_inputs};
use crate::plan::{Action, CommandStep, Definition, Effect, Gap, NeedKind, Plan, Step};
use crate::run::claim::{Claim, Claims};
use crate::run::command::{Commands, Unsuccessful};
use crate::run::enter::with_images;
use crate::run::exact::exactness;
use crate::run::forecast::reasons;
use crate::run::image::{Images, Yielded};
use crate::run::keep::Ran;
use crate::run::place::{Asked, Place};
use crate::run::process::Halt;
use crate::run::room::Room;
use crate::run::sandbox::{self, Mode};
use crate::run::steady::{disturbed, is_as_planned, moved};
use crate::run::task::{Done, Ended, Task, had};
use crate::run::teller::{Teller, Told};
use crate::run::{Found, Request, TagMove};

/// Files of so many bytes in all are read and written at once; larger ones take a
/// thread of their own meanwhile.
pub(super) const LARGE: u64 = 1 << 20;
/// So do more files than this.
const MANY: usize = 16;

/// Why what a step made may not stand for its inputs.
pub(super) const CHANGED: &str =
    "what it reads or makes changed while it ran, so it runs again the next time";

/// Carries out steps, each on its own.
pub(super) struct Worker {
    request: Request,
    commands: Commands,
    images: Images,
    claims: Claims,
    /// Which steps come behind one that always runs: what they read may not be
    /// what was planned.
    behind_always: Vec<bool>,
    /// How exactly what each step made has to lie there.
    exactness: Vec<Exactness>,
    /// How finely the project's file system counts time.
    clock: Clock,
}

impl Worker {
    /// Ends the journal of what became visible, unless that is so in part, or it is not settled
    /// yet whether it works. Returns what is to be said.
    pub(super) async fn end_journal(&self) -> Option<String> {
        self.images.end_journal().await
    }

    /// Steps of the request's plan.
    pub(super) fn new(request: Request, commands: Commands, images: Images) -> Self {
        let behind_always = behind_always(&request.plan);
        let exactness = exactness(&request.plan);
        let clock = clock(&request.root.join(".hoist"));
        let claims = Claims::new(&request.root);
        Self { request, commands, images, claims, behind_always, exactness, clock }
    }

    /// Carries out a step.
    pub(super) async fn work(
        self: Arc<Self>,
        task: Task,
        halt: watch::Receiver<Halt>,
        teller: Teller,
    ) -> Done {
        let Some(step) = self.request.plan.steps.get(task.step.0 as usize) else {
            return Done::new(Ended::Halted);
        };
        match &step.action {
            Action::Group => Done {
                product: self.group_product(step, &task),
                lasting: Some(Outputs::default()),
                ..Done::new(Ended::Ran)
            },
            Action::Skip(reason) => {
                Done { lasting: Some(Outputs::default()), ..Done::new(Ended::Skipped(reason.clone())) }
            }
            Action::NotAvailable(gap) => Done::failed(not_available(gap)),
            _ => {
                let done = self.perform(step, &task, halt, teller).await;
                let images = self.images.measure(step, &task.images, &done).await;
                let scan = match &step.action {
                    Action::Scan(scan) => self.images.scan_of(scan),
                    _ => None,
                };
                Done { images, scan, ..done }
            }
        }
    }

    /// What is to be done.
    pub(super) const fn request(&self) -> &Request {
        &self.request
    }

    /// How commands are run.
    pub(super) const fn commands(&self) -> &Commands {
        &self.commands
    }

    /// What the steps of images share.
    pub(super) const fn images(&self) -> &Images {
        &self.images
    }

    /// A group stands for what it needs.
    fn group_product(&self, step: &Step, task: &Task) -> Product {
        match step.effect {
            Effect::Cacheable => Product::Key(self.trace(step, &step.definition, task).key()),
            Effect::Always | Effect::Publishing => Product::Nothing,
        }
    }

    fn trace(&self, step: &Step, definition: &Definition, task: &Task) -> Trace {
        let steps = &self.request.plan.steps;
        let products = task.products.iter();
        let products = products.filter_map(|(at, product)| Some((&steps.get(at.0 as usize)?.id, *product)));
        let settled = self.request.settled.of(task.step).iter().map(|(id, product)| (id, *product));
        Trace::new(&step.id, definition, products.chain(settled))
    }

    /// The definition of a step with the files as they are now; `None` for a step
    /// that declares none.
    async fn read_again(&self, step: &Step) -> Result<Option<Definition>, Problems> {
        let Some(query) = step.inputs.clone() else { return Ok(None) };
        let Request { root, release, facts, .. } = self.request.clone();
        let files =
            blocking(move || read_inputs(&root, &release, &facts, &query, &KnownFiles::new())).await?;
        Ok(Some(step.definition.with_inputs(&files)))
    }

    /// The trace of a step when its turn has come.
    async fn trace_now(&self, step: &Step, task: &Task) -> Result<Trace, Problems> {
        let now = if self.is_behind_always(task) { self.read_again(step).await? } else { None };
        Ok(self.trace(step, now.as_ref().unwrap_or(&step.definition), task))
    }

    /// Whether the file system says at once that a step's files are what they were.
    fn is_as_planned(&self, step: &Step, task: &Task) -> bool {
        let Request { root, facts, .. } = &self.request;
        !self.is_behind_always(task) && is_as_planned(root, facts, step, self.clock)
    }

    fn is_behind_always(&self, task: &Task) -> bool {
        self.behind_always.get(task.step.0 as usize).is_some_and(|behind| *behind)
    }

    /// What is said if not all that a step reads is what it was when its turn came: its own
    /// files, and what others made for it.
    async fn unsteady(&self, step: &Step, task: &Task, miss: &Miss) -> Option<String> {
        if !self.is_as_planned(step, task) {
            match self.read_again(step).await {
                Ok(None) => {}
                Ok(Some(now)) => {
                    let now = self.trace(step, &now, task);
                    if now.key() != miss.trace().key() {
                        return Some(moved(miss.trace(), &now, step));
                    }
                }
                Err(_) => return Some(CHANGED.to_owned()),
            }
        }
        if miss.is_kept() { disturbed(&self.request, (step, task), self.clock).await } else { None }
    }

    async fn perform(
        &self,
        step: &Step,
        task: &Task,
        mut halt: watch::Receiver<Halt>,
        mut teller: Teller,
    ) -> Done {
        if step.effect == Effect::Publishing {
            return self.publish(step, task, &mut halt, &mut teller).await;
        }
        let Some(claim) = self.claim(step, || task.turn.is_over(), &teller).await else {
            return Done::new(Ended::Withdrawn);
        };
        let trace = match self.trace_now(step, task).await {
            Ok(trace) => trace,
            Err(problems) => return Done::failed(at(step, problems)),
        };
        self.images.seals.note(task.step, &trace);
        self.remove_forsaken(step, &trace, &teller).await;
        let miss = match self.look_up((step, task), trace, &teller).await {
            Ok(miss) => miss,
            Err(done) => return done,
        };
        let (place, claim, miss) = match task.turn.ask() {
            Asked::Given(place) => (place, claim, miss),
            Asked::Never => return Done::new(Ended::Withdrawn),
            Asked::Later(place) => {
                // Those who have the places may wait for this claim.
                drop(claim);
                let Ok(place) = place.await else { return Done::new(Ended::Withdrawn) };
                match self.claim_again((step, task), miss, &halt, &teller).await {
                    Ok((claim, miss)) => (place, claim, miss),
                    Err(done) => return done,
                }
            }
        };
        let done = self.carry_out((step, task), miss, (place, claim.as_ref()), &mut halt, teller).await;
        drop(claim);
        done
    }

    /// Where a step has outputs: waits until no other hoist makes them. `None` if that
    /// is given up.
    async fn claim(
        &self,
        step: &Step,
        is_given_up: impl Fn() -> bool,
        teller: &Teller,
    ) -> Option<Option<Claim>> {
        if outputs(step).is_empty() {
            return Some(None);
        }
        self.claims.of(&step.id, is_given_up, teller).await.map(Some)
    }

    /// Claims the outputs of a step again, which another hoist may have made meanwhile.
    async fn claim_again(
        &self,
        (step, task): (&Step, &Task),
        miss: Miss,
        halt: &watch::Receiver<Halt>,
        teller: &Teller,
    ) -> Result<(Option<Claim>, Miss), Done> {
        let halted = || *halt.borrow() != Halt::No;
        let Some(claim) = self.claim(step, halted, teller).await else {
            return Err(Done::new(Ended::Halted));
        };
        if !self.request.cache.may_have(&miss) {
            return Ok((claim, miss));
        }
        self.look_up((step, task), miss.into_trace(), teller).await.map(|miss| (claim, miss))
    }

    /// Runs a step, and keeps what it made.
    async fn carry_out(
        &self,
        (step, task): (&Step, &Task),
        miss: Miss,
        (place, claim): (Place, Option<&Claim>),
        halt: &mut watch::Receiver<Halt>,
        mut teller: Teller,
    ) -> Done {
        teller.tell(Told::Started(reasons(&miss))).await;
        if let Err(unsuccessful) = self.confirm(step, halt).await {
            return Done { place: Some(place), ..unsuccessful.into() };
        }
        let (started, clock) = (Timestamp::now(), Instant::now());
        let mut standing = None;
        let (_, result) = self.act((step, task), claim, &mut standing, halt, &mut teller).await;
        let standing = standing.unwrap_or_default();
        let run = Ran { miss, started, took: clock.elapsed(), standing };
        match result {
            Ok(made) => {
                drop(place);
                let doubt = if matches!(made, Yielded::Partly) {
                    Some("it was denied what it asked for, so what it made is not kept".to_owned())
                } else {
                    self.unsteady(step, task, &run.miss).await
                };
                let (image, reused) = match made {
                    Yielded::Image(image, reused) => (Some(*image), reused),
                    Yielded::Nothing | Yielded::Partly | Yielded::Again => (None, None),
                };
                Done { reused, ..self.keep(step, run, image, doubt, teller).await }
            }
            Err(Unsuccessful::Halted) => {
                self.keep_rest(step, run, Outcome::Stopped).await;
                Done::new(Ended::Halted)
            }
            Err(Unsuccessful::Failed(mut problems)) => {
                problems.extend(self.keep_rest(step, run, Outcome::Failed).await);
                Done { place: Some(place), ..Done::failed(problems) }
            }
        }
    }

    /// The place where a step makes its outputs.
    async fn room<'a>(
        &'a self,
        (step, command): (&'a Step, &'a CommandStep),
        task: &Task,
        claim: Option<&'a Claim>,
        standing: &'a mut Option<Standing>,
    ) -> Result<Room<'a>, Problems> {
        let now = if self.is_behind_always(task) { self.read_again(step).await? } else { None };
        Ok(Room::new(
            &self.request,
            (step, command),
            now.as_ref().unwrap_or(&step.definition),
            claim,
            standing,
        ))
    }

    /// Publishes: each time, and nothing of it is kept.
    async fn publish(
        &self,
        step: &Step,
        task: &Task,
        halt: &mut watch::Receiver<Halt>,
        teller: &mut Teller,
    ) -> Done {
        let Some(place) = task.turn.place().await else { return Done::new(Ended::Withdrawn) };
        teller.tell(Told::Started(vec![crate::run::Reason::publishing()])).await;
        if let Err(unsuccessful) = self.confirm(step, halt).await {
            return Done { place: Some(place), ..unsuccessful.into() };
        }
        let (tags, result) = self.act((step, task), None, &mut None, halt, teller).await;
        let done = match result {
            // What is there already was published before.
            Ok(Yielded::Again) => Done::new(Ended::Cached(Found::Present)),
            Ok(Yielded::Image(image, _)) => {
                Done { image: Some(*image), ..Done::new(Ended::Cached(Found::Present)) }
            }
            Ok(Yielded::Nothing | Yielded::Partly) => Done::new(Ended::Ran),
            Err(unsuccessful) => unsuccessful.into(),
        };
        Done { tags, place: Some(place), ..done }
    }

    /// The right to run a step; or, if it need not run, its end.
    async fn look_up(
        &self,
        (step, task): (&Step, &Task),
        trace: Trace,
        teller: &Teller,
    ) -> Result<Miss, Done> {
        let options = &self.request.options;
        if step.effect != Effect::Cacheable {
            let always = Reason::always(step.inputs.is_some());
            return Ok(Miss::new(trace, if options.no_cache { Reason::CacheOff } else { always }));
        }
        if options.no_cache {
            return Ok(Miss::new(trace, Reason::CacheOff));
        }
        if options.force && step.goal {
            return Ok(Miss::new(trace, Reason::Forced));
        }
        let hit = match self.request.cache.find(&trace) {
            Lookup::Miss(miss) => return Ok(miss),
            Lookup::Hit(hit) => hit,
        };
        let (cache, patterns) = (self.request.cache.clone(), outputs(step).to_vec());
        let exactness = self.exactness.get(task.step.0 as usize).copied().unwrap_or(Exactness::Whole);
        let outputs = hit.record.outputs.as_slice();
        let log = hit.record.log.map_or(0, |log| log.size);
        let bytes = outputs.iter().map(Output::size).fold(log, u64::saturating_add);
        let found = blocking_if(bytes > LARGE || outputs.len() > MANY, move || {
            Ok(match cache.restore(&hit, &patterns, exactness)? {
                Restoration::Lost(reason) => Err(Miss::new(trace, reason)),
                Restoration::Current => Ok((Found::Present, hit, None)),
                Restoration::Restored(_, moved) => Ok((Found::Restored, hit, moved)),
            })
        });
        match found.await {
            Err(problems) => Err(Done::failed(at(step, problems))),
            Ok(Err(miss)) => Ok(miss),
            Ok(Ok((found, hit, moved))) => {
                if let Some(to) = moved {
                    let text = format!("what lay in the place of its outputs is in `{}` now", to.display());
                    teller.tell(Told::Notice(text)).await;
                }
                if let Some(log) = self.request.cache.log(&hit.record) {
                    // It is read by whoever shows it.
                    teller.tell(Told::Replayed(log.into(), u64::MAX)).await;
                }
                Err(had(step, *hit, found))
            }
        }
    }

    /// Asks what is to be asked before the step runs.
    async fn confirm(&self, step: &Step, halt: &mut watch::Receiver<Halt>) -> Result<(), Unsuccessful> {
        let Action::Command(command) = &step.action else { return Ok(()) };
        let Some(question) = &command.confirm else { return Ok(()) };
        let question = format!("{}: {question}", step.id);
        let confirm = Arc::clone(&self.request.confirm);
        let answer = tokio::select! {
            answer = blocking(move || confirm(&question)) => answer,
            _ = halt.changed() => return Err(Unsuccessful::Halted),
        };
        let said = match answer {
            Ok(true) => return Ok(()),
            Ok(false) => "the answer was no".to_owned(),
            Err(why) => why,
        };
        let problem = Problem::new(Code::NotConfirmed, format!("`{}` was not confirmed", step.id));
        Err(Unsuccessful::failed(problem.label(step.span, said)))
    }

    /// Does what the step does: the tags that it was to give, and the image that it
    /// made, if it makes one.
    async fn act(
        &self,
        (step, task): (&Step, &Task),
        claim: Option<&Claim>,
        standing: &mut Option<Standing>,
        halt: &mut watch::Receiver<Halt>,
        teller: &mut Teller,
    ) -> (Vec<TagMove>, Result<Yielded, Unsuccessful>) {
        if let Action::Command(command) = &step.action {
            let room = match self.room((step, command), task, claim, standing).await {
                Ok(mut room) => room.make(teller).await.map(|()| room),
                Err(problems) => Err(problems),
            };
            let mut room = match room {
                Ok(room) => room,
                Err(problems) => return (Vec::new(), Err(Unsuccessful::Failed(problems))),
            };
            let watched = Mode::of(&self.request, step, command);
            let name = step.id.to_string();
            let result = match watched {
                None => {
                    self.commands.run(&name, command, (None, &mut room), halt, teller).await.map(|()| true)
                }
                Some(mode) => {
                    let with = (&self.request, &self.commands);
                    sandbox::run(with, (step, command), (mode, &mut room), halt, teller).await
                }
            };
            let made = |whole| if whole { Yielded::Nothing } else { Yielded::Partly };
            return (Vec::new(), result.map(made));
        }
        match &step.action {
            Action::Deploy(deploy) => {
                let result = match self.images.may_deploy(&step.id.owner, halt).await {
                    Ok(()) => Box::pin(self.deploy((step, deploy), task, halt, teller)).await,
                    Err(unsuccessful) => Err(unsuccessful),
                };
                (Vec::new(), result)
            }
            Action::Scan(scan) => {
                (Vec::new(), Box::pin(self.scan((step, scan), &task.images, halt, teller)).await)
            }
            Action::Verify(check) => {
                let command = with_images(&check.command, &check.images, &task.images);
                (Vec::new(), Box::pin(self.verify((step, check), &command, halt, teller)).await)
            }
            _ => self.images.act(&self.request.plan, step, (&task.images, &task.turn), halt, teller).await,
        }
    }
}

/// Which steps come behind a target that always runs.
fn behind_always(plan: &Plan) -> Vec<bool> {
    let mut behind: Vec<bool> = Vec::with_capacity(plan.steps.len());
    for step in &plan.steps {
        let is_behind = step.needs.iter().filter(|need| need.kind != NeedKind::End).any(|need| {
            let at = need.step.0 as usize;
            let always = plan.steps.get(at).is_some_and(|before| before.effect == Effect::Always);
            always || behind.get(at).is_some_and(|behind| *behind)
        });
        behind.push(is_behind);
    }
    behind
}

/// What a step makes in the project.
pub(super) fn outputs(step: &Step) -> &[Pattern] {
    match &step.action {
        Action::Command(command) => &command.outputs,
        _ => &[],
    }
}

/// What this version cannot do.
pub(super) fn not_available(gap: &Gap) -> Problem {
    Problem::new(Code::NotAvailable, format!("{} is not available yet", gap.what))
        .label(gap.span, "this version of hoist plans it, and cannot execute it")
}

/// Shows the declaration of the step with problems that show no place.
pub(super) fn at(step: &Step, problems: Problems) -> Problems {
    let mut placed = Problems::new();
    placed.extend(problems.into_iter().map(|problem| {
        if problem.labels.is_empty() {
            problem.label(step.span, format!("in `{}`", step.id))
        } else {
            problem
        }
    }));
    placed
}

/// Does work that blocks its thread: on another one if it is much.
pub(super) async fn blocking_if<T: Send + 'static>(
    much: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    if much { blocking(work).await } else { work() }
}

/// Does work that blocks its thread; a panic in it goes on here.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(payload) => panic::resume_unwind(payload),
            // Only given up together with the task that waits here.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use crate::run::fixture::Project;

    #[test]
    fn behind_a_step_that_always_runs_inputs_are_read_again() {
        let mut project = Project::new();
        project.write("in", "old");
        let mut run = || {
            project.plan.steps.clear();
            project.target("write", "printf new > in", &[]);
            project.reading("use", "cat in", &[0], "in");
            project.run().lines()
        };
        let first = run();
        assert_eq!(first[2..], ["use starts: never ran here", "use > new", "use: ran", "done 0"]);
        assert_eq!(run()[2..], ["use > new (replayed)", "use: cached, Present", "done 0"]);
    }

    #[test]
    fn a_step_whose_inputs_change_while_it_runs_is_not_kept() {
        let mut project = Project::new();
        project.write("in", "a\n");
        project.reading("fix", "echo fixed > in", &[], "in");
        let notice = "fix: what it reads or makes changed while it ran, so it runs again the next time";
        assert_eq!(project.run().lines(), ["fix starts: never ran here", notice, "fix: ran", "done 0"]);
        project.plan.steps.clear();
        project.reading("fix", "echo fixed > in", &[], "in");
        assert_eq!(project.run().lines(), ["fix starts: in changed", "fix: ran", "done 0"]);
        assert_eq!(project.run().lines(), ["fix: cached, Present", "done 0"]);
    }
}
