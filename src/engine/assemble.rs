//! Makes an image of one platform from files.

use std::path::Path;

use crate::diagnostic::Problem;
use crate::engine::Weight;
use crate::engine::base::Base;
use crate::engine::builder::CacheHits;
use crate::engine::copy;
use crate::engine::layer::{KnownContent, write_layer};
use crate::engine::placement::Placement;
use crate::oci::{ContainerConfig, Descriptor, History, ImageConfig, Manifest, Nothing, media_type};
use crate::plan::{AssembleStep, BASE_NAME, BaseSource, ImageSettings, LayerPlan};
use crate::store::Layout;

/// The annotation that holds the digest of the manifest of an image's base (OCI image
/// specification, "Annotations").
const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

/// An image that was made of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assembled {
    /// Its manifest.
    pub image: Descriptor,
    /// How many layers it has, and how many of them did not have to be written.
    pub hits: CacheHits,
}

/// Makes the image of a step from the files below `root` and its base, writes it
/// to `images`, and describes its manifest. Files that are `known` are not read for a
/// layer that is there already.
///
/// The result depends on the step, the base, and the content, names, and
/// executable bits of the files: not on times, owners, or the machine.
///
/// # Errors
/// A file that is missing, leaves the project, changes while it is read, or has
/// no place in the image; a base that is damaged or for another platform; a
/// layout that cannot be read or written.
pub fn assemble(
    step: &AssembleStep,
    root: &Path,
    base: Option<(&Layout, &Descriptor)>,
    images: &Layout,
    known: KnownContent<'_>,
) -> Result<Assembled, Problem> {
    let Base { mut config, mut layers, mut tree, digest } = match base {
        Some((layout, descriptor)) => Base::read(step, layout, descriptor, images)?,
        None => Base::scratch(step),
    };
    let mut cached = layers.len();
    let created = step.settings.created.to_string();
    for plan in &step.layers {
        let mut placement = Placement::new(&mut tree);
        for remove in &plan.removes {
            placement.remove(remove)?;
        }
        for copy in &plan.copies {
            placement.place(copy, copy::find(copy, root)?)?;
        }
        let layer = placement.finish(step.span)?;
        let (written, before) = write_layer(&layer, plan.compression, images, known, step.span)?;
        cached += usize::from(before);
        layers.push(written.descriptor);
        config.rootfs.diff_ids.push(written.diff_id);
        config.history.push(History {
            created: Some(created.clone()),
            created_by: Some(recipe(plan)),
            ..History::default()
        });
    }
    apply(&step.settings, &mut config);
    config.created = Some(created);
    let config = images.write(media_type::CONFIG, &config.to_bytes())?;
    let hits = CacheHits { steps: layers.len(), cached };
    let mut manifest = Manifest::new(config, layers);
    if let (BaseSource::Registry(base), Some(digest)) = (&step.base, digest) {
        let annotations = [(BASE_NAME, base.reference.to_string()), (BASE_DIGEST, digest.to_string())];
        manifest.annotations.extend(annotations.map(|(name, value)| (name.to_owned(), value)));
    }
    let image = images.write(media_type::MANIFEST, &manifest.to_bytes())?;
    Weight::of(&tree).remember(&image.digest, images);
    Ok(Assembled { image, hits })
}

/// What made a layer, for its history.
fn recipe(plan: &LayerPlan) -> String {
    let removes = plan.removes.iter().map(|remove| format!("remove {}", remove.path));
    let copies = plan.copies.iter().map(|copy| format!("copy {} {}", copy.from, copy.to));
    format!("hoist: {}", removes.chain(copies).collect::<Vec<_>>().join("; "))
}

/// Puts what the step sets over what the base has.
fn apply(settings: &ImageSettings, image: &mut ImageConfig) {
    let config: &mut ContainerConfig = &mut image.config;
    // An entrypoint takes the place of the command that went with the old one.
    if settings.entrypoint.is_some() || settings.cmd.is_some() {
        config.cmd.clone_from(&settings.cmd);
    }
    let set = |to: &mut Option<String>, from: &Option<String>| {
        if from.is_some() {
            to.clone_from(from);
        }
    };
    if settings.entrypoint.is_some() {
        config.entrypoint.clone_from(&settings.entrypoint);
    }
    set(&mut config.user, &settings.user);
    set(&mut config.working_dir, &settings.workdir);
    set(&mut config.stop_signal, &settings.stop_signal);
    for (name, value) in &settings.env {
        let variable = format!("{name}={value}");
        // A base may set it several times.
        let same = |old: &String| old.split('=').next() == Some(name);
        let at = config.env.iter().position(same).unwrap_or(config.env.len());
        config.env.retain(|old| !same(old));
        config.env.insert(at.min(config.env.len()), variable);
    }
    config.exposed_ports.extend(settings.expose.iter().map(|port| (port.clone(), Nothing {})));
    config.volumes.extend(settings.volumes.iter().map(|volume| (volume.clone(), Nothing {})));
    config.labels.extend(settings.labels.clone());
}

#[cfg(test)]
mod tests;
