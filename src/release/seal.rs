//! Vouching for an image where it was pushed and nobody sees it yet.

use std::path::Path;
use std::sync::Arc;

use crate::config::{ProjectPath, Sign};
use crate::diagnostic::{Code, Problem, Problems, Spanned, counted};
use crate::oci::{Descriptor, Index, media_type};
use crate::plan::{Action, AttestStep, Plan, SignStep, Step};
use crate::release::publisher::{Publisher, place};
use crate::seal::{self, Attestation, Sbom, Signer, Subject};
use crate::store::{Layout, Repository};

/// The largest bill of materials that is attached, in bytes.
const MAX_SBOM: u64 = 32 << 20;

/// A document that is attached, as it lies in the project.
pub struct Document {
    /// What it is.
    pub sbom: Sbom,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The name of its file.
    pub name: String,
}

impl Document {
    /// A bill of materials, as it lies in the project in `root` now.
    ///
    /// # Errors
    /// [`Code::Sbom`] at its place in the release file: it cannot be read, is too large, or
    /// is not of a kind that is known.
    pub fn read(root: &Path, path: &Spanned<ProjectPath>) -> Result<Self, Problem> {
        let Spanned { value, span } = path;
        let refuse = |title: String, note: String| {
            Problem::new(Code::Sbom, title).label(*span, "attached by this").note(note)
        };
        let file = root.join(value.as_path());
        let unreadable = |why: String| refuse(format!("cannot read `{value}`"), why);
        let found = file.metadata().map_err(|error| unreadable(error.to_string()))?;
        if !found.is_file() {
            return Err(unreadable("it is no file".to_owned()));
        }
        let size = found.len();
        if size > MAX_SBOM {
            return Err(unreadable(format!("it has {size} bytes, more than {MAX_SBOM}")));
        }
        let bytes = std::fs::read(&file).map_err(|error| unreadable(error.to_string()))?;
        let sbom = seal::recognise(&bytes).map_err(|why| {
            let problem = refuse(format!("`{value}` is no bill of materials that is known"), why);
            problem.help(
                "CycloneDX or SPDX in JSON: `syft scan … -o cyclonedx-json`, `trivy … --format spdx-json`",
            )
        })?;
        let name = value.as_path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { sbom, bytes, name })
    }
}

/// Signs an image, and of an index each of its images; says who signed something that was
/// not signed before.
///
/// # Errors
/// A key cannot be used; the registry cannot be read or written.
pub async fn sign(
    step: &SignStep,
    image: &Descriptor,
    images: &Layout,
    publisher: &Publisher,
) -> Result<Vec<String>, Problem> {
    let repository = publisher.open(&step.registry).await?;
    let mut done = Vec::new();
    for signer in signers(&step.keys, publisher).await? {
        let mut count = 0;
        for manifest in manifests(images, image)? {
            let signed = seal::sign(&repository, &manifest, &signer).await;
            count += usize::from(signed.map_err(|problem| not_sealed(&step.registry.name, problem))?);
        }
        if count > 0 {
            let key = signer.public().fingerprint().short();
            done.push(format!("{} signed by the key {key}", counted(count, "manifest")));
        }
    }
    Ok(done)
}

/// Attaches statements to an image, and of an index to each of its images; says what was
/// attached that was not there before. Without a key, documents are attached as they are.
///
/// # Errors
/// As [`sign`].
pub async fn attest(
    step: &AttestStep,
    (provenance, document): (Option<Attestation>, Option<Document>),
    image: &Descriptor,
    images: &Layout,
    publisher: &Publisher,
) -> Result<Vec<String>, Problem> {
    let repository = publisher.open(&step.registry).await?;
    let signers = signers(&step.keys, publisher).await?;
    let manifests = manifests(images, image)?;
    let name = match &repository {
        Repository::Registry(_) => Some(place(&step.registry)),
        Repository::Layout(_) => None,
    };
    let subject = |manifest: &Descriptor| Subject { name: name.clone(), digest: manifest.digest };
    let subjects: Vec<Subject> = manifests.iter().map(subject).collect();
    let stated = document.as_ref().map(|document| Attestation {
        predicate_type: document.sbom.predicate_type.to_owned(),
        predicate: document.sbom.document.clone(),
        states_the_same: |one, other| one == other,
    });
    let attestations: Vec<Attestation> = provenance.into_iter().chain(stated).collect();
    let mut done = Vec::new();
    for manifest in &manifests {
        for signer in &signers {
            for attestation in &attestations {
                let attested = seal::attest(&repository, manifest, &subjects, attestation, signer).await;
                if attested.map_err(|problem| not_sealed(&step.registry.name, problem))? {
                    let key = signer.public().fingerprint().short();
                    done.push(format!("attested {} by the key {key}", attestation.predicate_type));
                }
            }
        }
        if let (true, Some(Document { sbom, bytes, name })) = (signers.is_empty(), &document) {
            let attached = seal::attach_document(&repository, manifest, sbom.media_type, bytes, name).await;
            if attached.map_err(|problem| not_sealed(&step.registry.name, problem))? {
                done.push(format!("attached `{name}`, which nobody signed"));
            }
        }
    }
    // What was attached to several manifests is said once.
    done.sort();
    done.dedup();
    Ok(done)
}

/// Makes sure that all keys of a plan can be used, and that what is attached is there
/// unless a command may make it.
///
/// # Errors
/// All of what cannot be used.
pub(super) async fn check_seals(plan: &Plan, publisher: &Publisher) -> Result<(), Problems> {
    let mut problems = Problems::new();
    for step in &plan.steps {
        let keys = match &step.action {
            Action::Sign(sign) => &sign.keys,
            Action::Attest(attest) => {
                let given = attest.sbom.iter().filter(|_| !is_behind_command(plan, step));
                for path in given {
                    problems.take(Document::read(publisher.root(), path));
                }
                &attest.keys
            }
            _ => continue,
        };
        for key in keys {
            problems.take(publisher.keyring().signer(key).await);
        }
    }
    problems.once().or(())
}

/// Whether some command comes before a step.
fn is_behind_command(plan: &Plan, step: &Step) -> bool {
    let (mut seen, mut open) = (vec![false; plan.steps.len()], vec![step]);
    while let Some(step) = open.pop() {
        if matches!(step.action, Action::Command(_)) {
            return true;
        }
        for at in step.needs.iter().map(|need| need.step.0 as usize) {
            if let (Some(seen), Some(before)) = (seen.get_mut(at), plan.steps.get(at))
                && !std::mem::replace(seen, true)
            {
                open.push(before);
            }
        }
    }
    false
}

async fn signers(keys: &[Sign], publisher: &Publisher) -> Result<Vec<Arc<Signer>>, Problem> {
    let mut signers = Vec::new();
    for key in keys {
        signers.push(publisher.keyring().signer(key).await?);
    }
    Ok(signers)
}

/// What a tag of an image would name, and what whoever pulls it for a platform gets.
fn manifests(images: &Layout, image: &Descriptor) -> Result<Vec<Descriptor>, Problem> {
    let mut manifests = vec![image.clone()];
    if media_type::is_index(&image.media_type) {
        let index = Index::parse(&images.read(image)?).map_err(|error| {
            let title = format!("`{}` cannot be signed", image.digest);
            Problem::new(Code::Registry, title).note(error.to_string())
        })?;
        let below = index.manifests.into_iter().filter(|entry| media_type::is_manifest(&entry.media_type));
        manifests.extend(below);
    }
    Ok(manifests)
}

fn not_sealed(registry: &str, problem: Problem) -> Problem {
    problem.note(format!("no tag was set at `{registry}`: they wait for signatures and attestations"))
}
