//! Runs a plan: the one place where scheduler, steps, signals, and events meet.

use std::collections::HashMap;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::sync::{mpsc, watch};
use tokio::task::{self, JoinError, JoinSet};

use crate::cache::{Cache, MAX_SIZE, Product, Ran};
use crate::diagnostic::{Class, Code, Problem, Problems};
use crate::oci::Descriptor;
use crate::plan::{Action, Effect, NeedKind, Plan, Step, StepIndex};
use crate::release::{Publisher, preflight};
use crate::run::command::Commands;
use crate::run::deploy::check_deployments;
use crate::run::enter::{check_authorities, check_ledger};
use crate::run::gap::gaps;
use crate::run::image::{Images, images_of};
use crate::run::interrupt::{self, interrupts};
use crate::run::jobserver::{self, Jobserver};
use crate::run::mask::Secrets;
use crate::run::narrator::{Left, Narrator, faults};
use crate::run::place::{Place, Places, Turn};
use crate::run::process::Halt;
use crate::run::record::{Record, log_of};
use crate::run::sandbox::unchecked;
use crate::run::scan::{check_allowances, check_scanners};
use crate::run::scheduler::{Dropped, Limits, Node, Order, Scheduler, estimated};
use crate::run::secret::secrets;
use crate::run::task::{Done, Ended, Task};
use crate::run::teller::{Teller, Told};
use crate::run::worker::{Worker, blocking};
use crate::run::{Cause, Counts, Event, Found, Happening, Outcome, Request, Summary};

/// What steps told and nobody heard yet: more than this, and they wait.
const BACKLOG: usize = 64;

/// Runs a plan, and tells `observe` all that happens.
///
/// From here on, Ctrl-C and its kin stop the run instead of hoist: the first one
/// is passed on to what runs and lets nothing start but what runs whatever
/// happens (`finally`); the second one kills, and nothing starts any more; the third
/// one waits for nothing any more.
pub async fn execute(request: Request, observe: &mut dyn FnMut(&Event)) -> Summary {
    execute_until(request, observe, interrupts()).await
}

/// Runs a plan that these signals interrupt, as [`interrupts`] are or as they are
/// passed on by who waits for something else, too.
pub async fn execute_until(
    request: Request,
    observe: &mut dyn FnMut(&Event),
    mut signals: mpsc::UnboundedReceiver<Signal>,
) -> Summary {
    let clock = Instant::now();
    let jobs = jobs(&request);
    let mut problems = Problems::new();
    let record = problems.take(Record::create(&request.root, request.host.now));
    let (id, dir) = record.as_ref().map(|record| (record.id.clone(), record.dir.clone())).unzip();
    let id = id.unwrap_or_default();
    let mut narrator = Narrator::new(&request.plan, record, observe);
    narrator.run_started(&id, &request, jobs);
    problems.extend(gaps(&request));
    // Without a record nothing runs.
    let mut run = Run::new(request, narrator, dir.clone().unwrap_or_default(), jobs, problems);
    run.preflight(&mut signals).await;
    let general = faults(&run.problems, &run.request);
    if general.is_empty() && run.signals == 0 {
        run.go(&mut signals).await;
        if let Some(text) = run.worker.end_journal().await {
            run.notice(text);
        }
    } else {
        run.refuse();
    }
    run.trim_cache().await;
    run.tell_unchecked();
    let (counts, class, took) = (run.counts(), run.class(), clock.elapsed());
    run.narrator.run_ended(counts, took, class, general);
    let outcomes = run.outcomes.into_iter().flatten().collect();
    Summary {
        run: id,
        record: dir,
        outcomes,
        ran: run.ran,
        counts,
        problems: run.problems.once(),
        duration: took,
        class,
    }
}

pub(super) fn jobs(request: &Request) -> usize {
    request.options.jobs.or(request.release.settings.jobs).unwrap_or(request.host.processors).max(1)
}

/// A run that goes on.
struct Run<'a> {
    request: Request,
    worker: Arc<Worker>,
    scheduler: Scheduler,
    publisher: Arc<Publisher>,
    secrets: Arc<Secrets>,
    narrator: Narrator<'a>,
    tasks: JoinSet<Done>,
    running: HashMap<task::Id, Running>,
    tellers: mpsc::Sender<(StepIndex, Told)>,
    told: mpsc::Receiver<(StepIndex, Told)>,
    /// What registries are waited for.
    said: mpsc::UnboundedReceiver<String>,
    outcomes: Vec<Option<Outcome>>,
    products: Vec<Product>,
    ran: Vec<Ran>,
    images: Vec<Option<Descriptor>>,
    problems: Problems,
    /// Whether the check of all that publishing needs found something.
    unfit_to_publish: bool,
    signals: usize,
    /// What steps are asked to do.
    halt: Halt,
    places: Places,
    /// Places of steps that failed, until it is known what follows.
    freed: Vec<Place>,
    /// Where the record of the run lies.
    directory: PathBuf,
}

/// A step that was started.
struct Running {
    step: StepIndex,
    /// When it began to work, or was started.
    since: Instant,
    begun: bool,
    halt: watch::Sender<Halt>,
    turn: Turn,
    /// Whether Ctrl-C was pressed while it owned the terminal.
    pressed: bool,
}

impl<'a> Run<'a> {
    fn new(
        request: Request,
        narrator: Narrator<'a>,
        directory: PathBuf,
        jobs: usize,
        problems: Problems,
    ) -> Self {
        let count = request.plan.steps.len();
        let secrets = Arc::new(secrets(&request));
        let (say, said) = mpsc::unbounded_channel();
        let publisher = Publisher::new(&request.root, request.facts.environment.clone())
            .allow_regress(request.options.allow_regress)
            // Nobody hears it who does not wait for the run any more.
            .telling(Arc::new(move |text| drop(say.send(text.to_owned()))));
        let publisher = Arc::new(publisher);
        let (tellers, told) = mpsc::channel(BACKLOG);
        let makeflags = request.host.environment.get(jobserver::VARIABLE);
        let jobserver = Arc::new(Jobserver::new(jobs, request.options.jobs.is_some(), makeflags));
        let images = Images::new(
            &request,
            Arc::clone(&secrets),
            Arc::clone(&publisher),
            Arc::clone(&jobserver),
            &directory,
        );
        let (root, host, facts) = (request.root.clone(), &request.host, &request.facts);
        let commands =
            Commands::new(root, host, facts, Arc::clone(&secrets), jobserver, request.options.one_output);
        Self {
            worker: Arc::new(Worker::new(request.clone(), commands, images)),
            scheduler: schedule(&request, jobs),
            publisher,
            secrets,
            narrator,
            tasks: JoinSet::new(),
            running: HashMap::new(),
            tellers,
            told,
            said,
            outcomes: vec![None; count],
            products: vec![Product::Nothing; count],
            ran: vec![Ran::default(); count],
            images: vec![None; count],
            problems,
            unfit_to_publish: false,
            signals: 0,
            halt: Halt::No,
            places: Places::new(jobs),
            freed: Vec::new(),
            directory,
            request,
        }
    }

    /// Makes sure of all that scans need, and, if something is to be published, that needs.
    async fn preflight(&mut self, signals: &mut mpsc::UnboundedReceiver<Signal>) {
        let plan = Arc::clone(&self.request.plan);
        let any = plan.steps.iter().any(|step| step.effect == Effect::Publishing);
        if !self.problems.is_empty() {
            return;
        }
        if any || !self.request.options.keep_going {
            self.problems.take(check_scanners(&self.request));
            self.problems.take(check_allowances(&self.request));
        }
        if !any {
            return;
        }
        let (publisher, request) = (Arc::clone(&self.publisher), self.request.clone());
        let mut checked = pin!(async {
            let mut problems = Problems::new();
            let (registries, ledger) = tokio::join!(preflight(&plan, &publisher), check_ledger(&request));
            problems.take(registries);
            problems.take(ledger);
            problems.take(check_authorities(&request));
            problems.take(check_deployments(request).await);
            problems.or(())
        });
        loop {
            tokio::select! {
                checked = &mut checked => {
                    self.unfit_to_publish = checked.is_err();
                    self.problems.take(checked);
                    return;
                }
                Some(text) = self.said.recv() => self.notice(text),
                Some(signal) = signals.recv() => return self.signalled(signal),
            }
        }
    }

    fn notice(&mut self, text: String) {
        self.narrator.say(Happening::Notice { step: None, text });
    }

    /// Runs all steps that may run.
    async fn go(&mut self, signals: &mut mpsc::UnboundedReceiver<Signal>) {
        loop {
            for order in self.scheduler.orders() {
                self.follow(order);
            }
            // Whoever may not begin any more is withdrawn.
            self.freed.clear();
            if self.tasks.is_empty() {
                return;
            }
            tokio::select! {
                Some((step, told)) = self.told.recv() => {
                    self.relay(step, told);
                    if self.told.is_empty() {
                        self.narrator.catch_up();
                    }
                }
                Some(ended) = self.tasks.join_next_with_id() => self.joined(ended),
                Some(text) = self.said.recv() => self.notice(text),
                Some(signal) = signals.recv() => self.signalled(signal),
            }
            if self.signals > 2 {
                return self.give_up();
            }
        }
    }

    /// Keeps the cache within its bounds.
    async fn trim_cache(&mut self) {
        if self.request.options.no_cache {
            return;
        }
        let (cache, max_size) = (self.request.cache.clone(), self.request.release.cache.max_size);
        if let Err(problem) = blocking(move || cache.trim(max_size.unwrap_or(MAX_SIZE))).await {
            self.notice(problem.title);
        }
    }

    /// Says what was not in the sandbox that was asked for.
    fn tell_unchecked(&mut self) {
        for text in unchecked(&self.request, &self.outcomes, self.counts().cached) {
            self.notice(text);
        }
    }

    /// Waits no longer for what still runs.
    fn give_up(&mut self) {
        for at in 0..self.outcomes.len() {
            if self.outcomes[at].is_none() {
                self.settle(index(at), Outcome::Cancelled, Duration::ZERO);
            }
        }
    }

    /// Starts nothing.
    fn refuse(&mut self) {
        let cause = if self.signals > 0 { Cause::Interruption } else { Cause::Refusal };
        for index in (0..self.outcomes.len()).map(index) {
            self.settle(index, Outcome::NotRun { cause: cause.clone() }, Duration::ZERO);
        }
    }

    fn follow(&mut self, order: Order) {
        match order {
            Order::Ready(step) => {
                let step = self.narrator.name(step);
                self.narrator.say(Happening::StepReady { step });
            }
            Order::Start(step) => self.start(step),
            Order::Withdraw(step) => self.withdraw(step),
            Order::Drop(step, why) => {
                let cause = match why {
                    Dropped::Need(step) => Cause::Need { step: self.narrator.name(step) },
                    Dropped::Failure(step) => Cause::Failure { step: self.narrator.name(step) },
                    Dropped::Interruption => Cause::Interruption,
                };
                self.settle(step, Outcome::NotRun { cause }, Duration::ZERO);
            }
        }
    }

    fn start(&mut self, step: StepIndex) {
        let (halt, receiver) = watch::channel(Halt::No);
        let turn = self.places.enter();
        let log = log_of(&self.directory, step.0 as usize).into();
        let teller = Teller::new(step, self.tellers.clone(), log);
        let work = Arc::clone(&self.worker).work(self.task(step, turn.clone()), receiver, teller);
        let id = self.tasks.spawn(work).id();
        let since = Instant::now();
        self.running.insert(id, Running { step, since, begun: false, halt, turn, pressed: false });
    }

    fn task(&self, step: StepIndex, turn: Turn) -> Task {
        let plan = &self.request.plan;
        let planned = &plan.steps[step.0 as usize];
        let needs = planned.needs.iter().filter(|need| need.kind == NeedKind::Product);
        let products = needs.filter_map(|need| Some((need.step, *self.products.get(need.step.0 as usize)?)));
        let image = |at: StepIndex| Some((at, self.images.get(at.0 as usize)?.clone()?));
        let images = images_of(plan, planned).into_iter().filter_map(image);
        Task { step, products: products.collect(), images: images.collect(), turn }
    }

    /// Passes on what a step told. Its output is masked already; why it runs
    /// names values of variables, and what it reads may be named after one.
    fn relay(&mut self, step: StepIndex, told: Told) {
        let told = match told {
            Told::Started(mut reasons) => {
                self.begun(step);
                for reason in &mut reasons {
                    reason.text = self.secrets.hide(&reason.text);
                }
                Told::Started(reasons)
            }
            Told::Notice(text) => Told::Notice(self.secrets.hide(&text)),
            Told::Learned(learned) => Told::Learned(Box::new(learned.hidden(&self.secrets))),
            told => told,
        };
        self.narrator.relay(step, told);
    }

    /// A step has a place.
    fn begun(&mut self, step: StepIndex) {
        self.scheduler.begun(step);
        let running = self.running.values_mut().find(|running| running.step == step && !running.begun);
        if let Some(running) = running {
            (running.since, running.begun) = (Instant::now(), true);
        }
    }

    /// Keeps a step from beginning to work. One that has begun, of which nothing was
    /// heard so far, is one of those that work.
    fn withdraw(&mut self, step: StepIndex) {
        let waited = |running: &Running| running.step == step && running.turn.end();
        if self.running.values().any(waited) {
            return;
        }
        self.begun(step);
        for running in self.running.values().filter(|running| running.step == step) {
            running.halt.send_replace(self.halt);
        }
    }

    /// A task ended: all that it told is in the channel.
    fn joined(&mut self, ended: Result<(task::Id, Done), JoinError>) {
        while let Ok((step, told)) = self.told.try_recv() {
            self.relay(step, told);
        }
        let (id, done) = match ended {
            Ok((id, done)) => (id, Some(done)),
            Err(error) => (error.id(), None),
        };
        let Some(Running { step, since, pressed, turn, .. }) = self.running.remove(&id) else { return };
        turn.end();
        let mut done = done.unwrap_or_else(|| Done::broken(&self.narrator.name(step)));
        if pressed && matches!(done.ended, Ended::Failed(_)) {
            // Whatever it says: this is why it ended.
            done.ended = Ended::Halted;
            self.interrupted(Signal::INT);
        }
        self.ended(step, done, since.elapsed());
    }

    fn ended(&mut self, step: StepIndex, done: Done, took: Duration) {
        let Done { ended, product, image, mut tags, images, scan, lasting, place, .. } = done;
        self.freed.extend(place);
        for tag in &mut tags {
            tag.repository = self.secrets.hide(&tag.repository);
        }
        let outcome = match ended {
            Ended::Ran => Outcome::Ran,
            Ended::Cached(found) => Outcome::Cached { found },
            Ended::Skipped(reason) => Outcome::Skipped { reason },
            Ended::Withdrawn => return self.scheduler.withdrawn(step),
            Ended::Halted => Outcome::Cancelled,
            Ended::Failed(problems) => {
                let problems = self.secrets.hide_in(problems);
                let faults = faults(&problems, &self.request);
                self.problems.extend(problems);
                Outcome::Failed { problems: faults }
            }
        };
        if let (true, Some(ran), Some(outputs)) =
            (outcome.is_success(), self.ran.get_mut(step.0 as usize), lasting)
        {
            *ran = Ran { product: Some(product), outputs };
        }
        self.scheduler.ended(step, outcome.is_success());
        let digest = image.as_ref().map(|image| image.digest.to_string());
        let at = step.0 as usize;
        if let (Some(its_product), Some(its_image)) = (self.products.get_mut(at), self.images.get_mut(at)) {
            *its_product = product;
            *its_image = image;
        }
        self.narrator.ended(step, outcome.clone(), took, Left { digest, tags, images, scan });
        self.outcomes[at] = Some(outcome);
    }

    fn settle(&mut self, step: StepIndex, outcome: Outcome, took: Duration) {
        self.narrator.ended(step, outcome.clone(), took, Left::default());
        self.outcomes[step.0 as usize] = Some(outcome);
    }

    fn signalled(&mut self, signal: Signal) {
        let plan = Arc::clone(&self.request.plan);
        if signal == Signal::INT
            && let Some(owner) =
                self.running.values_mut().find(|running| running.begun && owns_terminal(&plan, running.step))
        {
            // It was sent to that step, too, which knows what it means there.
            owner.pressed = true;
            return;
        }
        self.interrupted(signal);
    }

    fn interrupted(&mut self, signal: Signal) {
        self.signals += 1;
        let kill = self.signals > 1;
        self.halt = if kill { Halt::Now } else { Halt::Soon(signal) };
        self.narrator.say(Happening::Interrupted { signal: interrupt::name(signal).to_owned(), kill });
        if kill {
            self.scheduler.abort();
        } else {
            let title = format!("stopped by {}", interrupt::name(signal));
            let problem = Problem::new(Code::Interrupted, title);
            self.problems.push(problem.help("run it again: what was done is not done twice"));
            self.scheduler.interrupt();
        }
        // What has not begun either runs whatever happens, or is withdrawn.
        let stops = |running: &&Running| running.begun && (kill || !self.scheduler.is_final(running.step));
        for running in self.running.values().filter(stops) {
            running.halt.send_replace(self.halt);
        }
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts::of_settled(&self.request.settled);
        for (step, outcome) in self.request.plan.steps.iter().zip(&self.outcomes) {
            let count = match outcome {
                Some(Outcome::Ran) if step.action == Action::Group => continue,
                Some(Outcome::Ran) => &mut counts.ran,
                Some(Outcome::Cached { found }) => {
                    counts.restored += usize::from(*found == Found::Restored);
                    &mut counts.cached
                }
                Some(Outcome::Skipped { .. }) => &mut counts.skipped,
                Some(Outcome::Failed { .. }) => &mut counts.failed,
                Some(Outcome::NotRun { .. }) => &mut counts.not_run,
                Some(Outcome::Cancelled) | None => &mut counts.cancelled,
            };
            *count += 1;
        }
        counts
    }

    /// Why the run did not succeed: what stands half done weighs most.
    fn class(&self) -> Option<Class> {
        let classes = || self.problems.as_slice().iter().map(|problem| problem.code.class());
        let interrupted = (self.signals > 0).then_some(Class::Interrupted);
        let left = classes().find(|class| matches!(class, Class::Stands | Class::PutBack));
        let unfit = self.unfit_to_publish.then_some(Class::Refused);
        left.or(interrupted).or(unfit).or_else(|| classes().next())
    }
}

fn owns_terminal(plan: &Plan, step: StepIndex) -> bool {
    let step = plan.steps.get(step.0 as usize);
    step.is_some_and(|step| matches!(&step.action, Action::Command(command) if command.interactive))
}

fn schedule(request: &Request, jobs: usize) -> Scheduler {
    let Request { plan, options, .. } = request;
    let pools = pools(plan);
    let is_instant =
        |step: &Step| matches!(step.action, Action::Group | Action::Skip(_) | Action::NotAvailable(_));
    let known: Vec<Option<u64>> = plan
        .steps
        .iter()
        .map(|step| if is_instant(step) { Some(0) } else { weight(&request.cache, step) })
        .collect();
    let nodes = plan.steps.iter().zip(estimated(&known)).map(|(step, weight)| {
        let instant = is_instant(step);
        Node {
            needs: step.needs.clone(),
            weight,
            instant,
            exclusive: step.action.owns_terminal(),
            publishing: step.effect == Effect::Publishing,
            pool: step.pool.as_ref().and_then(|(name, _)| pools.iter().position(|(known, _)| known == name)),
        }
    });
    let limits = Limits {
        jobs,
        pools: pools.iter().map(|(_, size)| (*size).max(1)).collect(),
        keep_going: options.keep_going,
    };
    Scheduler::new(nodes.collect(), limits)
}

/// How long a step took the last time, in milliseconds, if that is known; at
/// least 1.
fn weight(cache: &Cache, step: &Step) -> Option<u64> {
    let took = cache.duration(&step.id)?;
    Some(u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1))
}

/// The pools of a plan, each once.
fn pools(plan: &Plan) -> Vec<(String, usize)> {
    let mut pools: Vec<(String, usize)> = plan.steps.iter().filter_map(|step| step.pool.clone()).collect();
    pools.sort();
    pools.dedup_by(|one, other| one.0 == other.0);
    pools
}

#[expect(clippy::cast_possible_truncation, reason = "a plan's steps are numbered in 32 bits")]
const fn index(at: usize) -> StepIndex {
    StepIndex(at as u32)
}
