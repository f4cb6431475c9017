//! How an image was made (SLSA provenance, version 1).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::oci::{Digest, Reference};
use crate::plan::{Action, BaseSource, Effect, NeedKind, Plan, ProvenancePlan, StepIndex};
use crate::seal::Attestation;

/// The type of the statement.
const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";
/// Where it is written what the parameters mean.
const BUILD_TYPE: &str = "https://github.com/hoist-build/hoist/blob/main/docs/signing.md#build-type";
/// Who made the image: hoist, wherever it ran.
const BUILDER: &str = "https://github.com/hoist-build/hoist";

/// Most steps that are told one by one: the key of each covers those that it needs.
const MOST: usize = 256;

/// The run that made an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// Its name in the project.
    pub id: String,
    /// When it began.
    pub started: Timestamp,
    /// When the image was there.
    pub finished: Timestamp,
}

/// What a step was carried out with, or had been before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyed {
    /// Its key: all that its result depends on, as hex digits.
    pub key: String,
    /// How many files it reads.
    pub files: usize,
    /// The digest of the list of them: for each a line of the BLAKE3 of what it holds, two
    /// spaces, and its path, sorted by the paths.
    pub inputs: Digest,
}

/// What a plan tells of how the image of one of its steps was made, and what is known of the
/// steps that were carried out for it. The times of the run are in it, and do not tell one
/// statement from another.
#[must_use]
pub fn provenance(
    plan: &Plan,
    image: StepIndex,
    planned: &ProvenancePlan,
    keyed: &BTreeMap<StepIndex, Keyed>,
    invocation: &Invocation,
) -> Attestation {
    let mut materials = Vec::new();
    if let Some(source) = &planned.source {
        let mut material = json!({ "digest": { "gitCommit": source.commit }, "name": "source" });
        if let Some(remote) = &source.remote {
            material["uri"] = format!("git+{remote}").into();
        }
        if source.dirty {
            material["annotations"] = json!({ "dirty": true });
        }
        materials.push(material);
    }
    for (uri, digest) in bases(plan, image) {
        materials.push(json!({ "uri": uri, "digest": { "sha256": digest.hex() } }));
    }
    let made = steps(plan, image, keyed);
    for (name, Keyed { files, inputs, .. }) in made.iter().filter(|(_, keyed)| keyed.files > 0) {
        materials.push(json!({
            "name": format!("inputs of {name}"),
            "digest": { "sha256": inputs.hex() },
            "annotations": { "files": files },
        }));
    }
    let steps: Vec<Value> =
        made.iter().map(|(name, keyed)| json!({ "name": name, "key": { "blake3": keyed.key } })).collect();
    let (kind, name) = &planned.event;
    let mut event = json!({ "kind": kind });
    if let Some(name) = name {
        event["name"] = name.as_str().into();
    }
    let predicate = json!({
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "image": planned.image,
                "platforms": platforms(plan, image),
                "event": event,
                "variables": planned.variables,
            },
            "internalParameters": { "steps": steps },
            "resolvedDependencies": materials,
        },
        "runDetails": {
            "builder": { "id": BUILDER, "version": { "hoist": env!("CARGO_PKG_VERSION") } },
            "metadata": {
                "invocationId": invocation.id,
                "startedOn": whole_seconds(invocation.started),
                "finishedOn": whole_seconds(invocation.finished),
            },
        },
    });
    Attestation { predicate_type: PREDICATE_TYPE.to_owned(), predicate, states_the_same }
}

/// Whether two statements tell of the same build by the same builder, whenever it ran.
fn states_the_same(one: &Value, other: &Value) -> bool {
    let of = |value: &Value| (value["buildDefinition"].clone(), value["runDetails"]["builder"].clone());
    of(one) == of(other)
}

/// The steps by which an image was made, each behind those that it needs: of more than can
/// be told, the ones that are nearest to it.
fn steps<'a>(
    plan: &Plan,
    image: StepIndex,
    keyed: &'a BTreeMap<StepIndex, Keyed>,
) -> Vec<(String, &'a Keyed)> {
    let mut found = BTreeMap::new();
    let (mut seen, mut open) = (BTreeSet::from([image]), VecDeque::from([image]));
    while let Some(at) = open.pop_front() {
        let Some(step) = plan.steps.get(at.0 as usize).filter(|step| step.effect != Effect::Publishing)
        else {
            continue;
        };
        if let Some(keyed) = keyed.get(&at).filter(|_| found.len() < MOST) {
            found.insert(at, (step.id.to_string(), keyed));
        }
        let needs = step.needs.iter().filter(|need| need.kind == NeedKind::Product);
        open.extend(needs.map(|need| need.step).filter(|need| seen.insert(*need)));
    }
    found.into_values().collect()
}

fn whole_seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

fn platforms(plan: &Plan, image: StepIndex) -> Vec<String> {
    match plan.steps.get(image.0 as usize).map(|step| &step.action) {
        Some(Action::Index(index)) => {
            index.platforms.iter().map(|(platform, _)| platform.to_string()).collect()
        }
        _ => Vec::new(),
    }
}

/// What an image starts from that this plan does not make, each once, sorted.
fn bases(plan: &Plan, image: StepIndex) -> Vec<(String, Digest)> {
    let (mut found, mut seen, mut open) = (Vec::new(), Vec::new(), vec![image]);
    while let Some(at) = open.pop() {
        if seen.contains(&at) {
            continue;
        }
        seen.push(at);
        match plan.steps.get(at.0 as usize).map(|step| &step.action) {
            Some(Action::Index(index)) => open.extend(index.platforms.iter().map(|(_, build)| *build)),
            Some(Action::Assemble(assemble)) => match &assemble.base {
                BaseSource::Scratch => {}
                BaseSource::Layout(path, descriptor, _) => {
                    found.push((format!("oci:{path}"), descriptor.digest));
                }
                BaseSource::Registry(base) => found.push((package(&base.reference), base.descriptor.digest)),
                BaseSource::Step(base) => open.push(*base),
            },
            Some(Action::Dockerfile(build)) => {
                found.extend(
                    build.bases.iter().map(|base| (package(&base.reference), base.descriptor.digest)),
                );
                open.extend(build.images.iter().map(|(_, step)| *step));
            }
            _ => {}
        }
    }
    found.sort();
    found.dedup();
    found
}

/// An image of a registry as a package URL, as BuildKit writes it.
fn package(reference: &Reference) -> String {
    let tag = reference.tag.as_ref().map(ToString::to_string);
    let version = tag.or_else(|| reference.digest.map(|digest| digest.to_string()));
    let name = reference.repository.to_string();
    let text = format!("{name}@{}", version.as_deref().unwrap_or("latest"));
    format!("pkg:docker/{}", text.replace(':', "%3A"))
}
