//! Vouching for an image where it was pushed and nobody sees it yet.

use std::sync::Arc;

use crate::config::Sign;
use crate::diagnostic::{Code, Problem, Problems};
use crate::oci::{Descriptor, Index, media_type};
use crate::plan::{Action, AttestStep, Plan, SignStep};
use crate::release::publisher::{Publisher, place};
use crate::seal::{self, Attestation, Sbom, Signer, Subject};
use crate::store::{Layout, Repository};

/// A document that is attached, as it lies in the project.
pub struct Document {
    /// What it is.
    pub sbom: Sbom,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The name of its file.
    pub name: String,
}

/// Signs an image, and of an index each of its images; `true` if something was signed
/// that was not signed before.
///
/// # Errors
/// A key cannot be used; the registry cannot be read or written.
pub async fn sign(
    step: &SignStep,
    image: &Descriptor,
    images: &Layout,
    publisher: &Publisher,
) -> Result<bool, Problem> {
    let repository = publisher.open(&step.registry).await?;
    let mut changed = false;
    for signer in signers(&step.keys, publisher).await? {
        for manifest in manifests(images, image)? {
            let signed = seal::sign(&repository, &manifest, &signer).await;
            changed |= signed.map_err(|problem| not_sealed(step.registry.name.as_str(), problem))?;
        }
    }
    Ok(changed)
}

/// Attaches statements to an image, and of an index to each of its images; `true` if
/// something was attached that was not there before. Without a key, documents are attached
/// as they are.
///
/// # Errors
/// As [`sign`].
pub async fn attest(
    step: &AttestStep,
    (provenance, document): (Option<Attestation>, Option<Document>),
    image: &Descriptor,
    images: &Layout,
    publisher: &Publisher,
) -> Result<bool, Problem> {
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
    let mut changed = false;
    for manifest in &manifests {
        let attached = async {
            for signer in &signers {
                for attestation in &attestations {
                    changed |= seal::attest(&repository, manifest, &subjects, attestation, signer).await?;
                }
            }
            if let (true, Some(Document { sbom, bytes, name })) = (signers.is_empty(), &document) {
                changed |= seal::attach_document(&repository, manifest, sbom.media_type, bytes, name).await?;
            }
            Ok(())
        };
        attached.await.map_err(|problem| not_sealed(step.registry.name.as_str(), problem))?;
    }
    Ok(changed)
}

/// Makes sure that all keys of a plan can be used.
///
/// # Errors
/// All of those that cannot.
pub(super) async fn check_keys(plan: &Plan, publisher: &Publisher) -> Result<(), Problems> {
    let mut problems = Problems::new();
    for step in &plan.steps {
        let keys = match &step.action {
            Action::Sign(step) => &step.keys,
            Action::Attest(step) => &step.keys,
            _ => continue,
        };
        for key in keys {
            problems.take(publisher.keyring().signer(key).await);
        }
    }
    problems.once().or(())
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
