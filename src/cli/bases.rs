//! What the names of base images stand for now.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use indexmap::IndexMap;

use crate::cli::session::{Loaded, Session, links_of, runtime};
use crate::config::Base;
use crate::diagnostic::{Code, Problem, Problems, Span};
use crate::facts::{Facts, Needs, ResolvedBase};
use crate::oci::Reference;
use crate::plan::{DockerfileBase, Goals, Options, RegistryPlan, Selection, dockerfile_bases, remote_base};
use crate::release::{Publisher, before, find_base, last_base};
use crate::report::status;

/// What becomes of a base whose registry cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// Nothing is published that was made of a guess.
    Ask,
    /// It is taken for what it was the last time.
    Recall,
    /// That, or it is left open.
    Open,
}

impl Strictness {
    /// What a selection allows.
    pub(crate) fn of(selection: &Selection, options: Options) -> Self {
        match selection.publishes() {
            _ if options.looked_at => Self::Open,
            true => Self::Ask,
            false => Self::Recall,
        }
    }
}

/// A base that a registry is asked for.
struct Wanted<'a> {
    reference: &'a Reference,
    registry: &'a RegistryPlan,
    span: Span,
    /// Whether a plan can do without.
    may_be_open: bool,
}

impl Session {
    /// The images of registries that Dockerfiles of the release file start from.
    pub(crate) fn bases_of_dockerfiles(&mut self, loaded: &Loaded) -> Result<Vec<DockerfileBase>, Problems> {
        let selection = crate::plan::select(&loaded.release, &Goals::All, &links_of(loaded))?;
        let mut facts = self.gather(loaded, &Needs::default(), &IndexMap::new())?;
        facts.dockerfiles = self.read_dockerfiles(&loaded.project, &selection.needs)?;
        dockerfile_bases(&loaded.release, &facts, &selection)
    }

    /// Asks registries what the names of base images stand for. Returns why one could not be
    /// asked, where the plan does without.
    pub(crate) fn find_bases(
        &self,
        loaded: &Loaded,
        selection: &Selection,
        strictness: Strictness,
        facts: &mut Facts,
    ) -> Result<Problems, Problems> {
        let (mut problems, mut unreached) = (Problems::new(), Problems::new());
        let of_builds = dockerfile_bases(&loaded.release, facts, selection)?;
        let of_layers = selection.needs.bases.iter().enumerate();
        let of_layers: Vec<_> = of_layers
            .filter_map(|(at, base)| {
                let Base::Reference(template) = &base.value else { return None };
                let named = problems.take(remote_base(&loaded.release, facts, template));
                named.map(|(reference, registry)| (at, reference, registry, base.span))
            })
            .collect();
        if of_layers.is_empty() && of_builds.is_empty() {
            return problems.or(unreached);
        }
        let cache = self.cache_for_run(&loaded.release, &loaded.project, false)?;
        let quiet = self.global.quiet || self.global.json;
        let tell = move |text: &str| {
            if !quiet {
                status(&format!("{text}\n"));
            }
        };
        let publisher =
            Publisher::new(&loaded.project.root, facts.environment.clone()).telling(Arc::new(tell));
        let runtime = runtime()?;
        let assembled = of_layers.iter().map(|(_, reference, registry, span)| Wanted {
            reference,
            registry,
            span: *span,
            may_be_open: false,
        });
        let built = of_builds.iter().map(|base| Wanted {
            reference: &base.reference,
            registry: &base.registry,
            span: base.span,
            may_be_open: strictness == Strictness::Open,
        });
        let mut known: HashMap<Reference, ResolvedBase> = HashMap::new();
        let mut asked: HashSet<&Reference> = HashSet::new();
        for Wanted { reference, registry, span, may_be_open } in assembled.chain(built) {
            // One that cannot be had is not asked for again, for another platform.
            if !asked.insert(reference) {
                continue;
            }
            let images = cache.images();
            let found = match runtime.block_on(find_base(reference, registry, span, &publisher, images)) {
                Err(problem) if is_out_of_reach(&problem) && strictness != Strictness::Ask => {
                    unreached.push(before(problem.clone()));
                    match last_base(reference, images) {
                        Some(last) => {
                            tell(&format!(
                                "{}: `{reference}` is taken for what it was the last time",
                                problem.title
                            ));
                            Ok(last)
                        }
                        None if may_be_open => {
                            tell(&format!("{}: what `{reference}` stands for is left open", problem.title));
                            continue;
                        }
                        None => Err(problem),
                    }
                }
                found => found,
            };
            // Nothing was begun: it is refused, as where something is published.
            let Some((descriptor, bytes)) = problems.take(found.map_err(before)) else { continue };
            known.insert(reference.clone(), ResolvedBase::Found(Box::new(descriptor), bytes.into()));
        }
        for (at, reference, ..) in &of_layers {
            if let (Some(place), Some(found)) = (facts.bases.get_mut(*at), known.get(reference)) {
                place.clone_from(found);
            }
        }
        facts.images = known;
        problems.or(unreached)
    }
}

/// Whether nobody answered who could know.
fn is_out_of_reach(problem: &Problem) -> bool {
    matches!(problem.code, Code::Registry | Code::Unreachable)
}
