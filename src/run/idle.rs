//! Runs in which nothing is left to be done.

use std::time::Instant;

use crate::cache::MAX_SIZE;
use crate::diagnostic::Problems;
use crate::run::executor::jobs;
use crate::run::narrator::{Narrator, faults};
use crate::run::record::Record;
use crate::run::sandbox::unchecked;
use crate::run::{Counts, Event, Happening, Request, Summary};

/// Keeps the record of a run whose plan has no steps, and tells `observe` of it, as
/// [`execute`](crate::run::execute) does of others: without threads, for nothing is waited for.
pub fn rest(request: &Request, observe: &mut dyn FnMut(&Event)) -> Summary {
    let clock = Instant::now();
    let mut problems = Problems::new();
    let record = problems.take(Record::create(&request.root, request.host.now));
    let (id, dir) = record.as_ref().map(|record| (record.id.clone(), record.dir.clone())).unzip();
    let id = id.unwrap_or_default();
    let mut narrator = Narrator::new(&request.plan, record, observe);
    narrator.run_started(&id, request, jobs(request));
    let counts = Counts::of_settled(&request.settled);
    let mut notices = unchecked(request, &[], counts.cached);
    if !request.options.no_cache {
        let trimmed = request.cache.trim(request.release.cache.max_size.unwrap_or(MAX_SIZE));
        notices.extend(trimmed.err().map(|problem| problem.title));
    }
    for text in notices {
        narrator.say(Happening::Notice { step: None, text });
    }
    let (class, took) = (problems.as_slice().first().map(|problem| problem.code.class()), clock.elapsed());
    narrator.run_ended(counts, took, class, faults(&problems, request));
    Summary {
        run: id,
        record: dir,
        outcomes: Vec::new(),
        ran: Vec::new(),
        counts,
        problems: problems.once(),
        duration: took,
        class,
    }
}
