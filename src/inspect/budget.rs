//! Images and their budgets.

use std::collections::BTreeSet;

use crate::config;
use crate::diagnostic::{Code, Problem, Problems, bytes};
use crate::inspect::image::{largest, wasted};
use crate::inspect::{ImageReport, LayerReport, PlatformReport};
use crate::oci::{Digest, FileTree, Platform, Waste};
use crate::plan::BudgetStep;

/// Most offenders that a problem names.
const NAMED: usize = 5;
/// Most characters that are told of what made a layer.
const LONGEST: usize = 60;

/// Compares each platform of an image, of which the files were read, with the budget of a
/// step; its growth with what was published `before`, if that is there.
///
/// # Errors
/// Every bound that a platform exceeds, with what weighs most. What is not known of the
/// files of a platform exceeds nothing.
pub fn weigh(step: &BudgetStep, report: &ImageReport, before: Option<&ImageReport>) -> Result<(), Problems> {
    let mut problems = Problems::new();
    for image in &report.platforms {
        let files = image.files.as_ref();
        problems.extend(files.and_then(|files| size(step, &image.platform, files)));
        problems.extend(layers(step, image));
        problems.extend(files.and_then(|files| waste(step, &image.platform, files)));
        let platforms = before.map(|before| before.platforms.as_slice()).unwrap_or_default();
        let before = platforms.iter().find(|before| before.platform.serves(&image.platform));
        problems.extend(before.and_then(|before| growth(step, image, before)));
    }
    problems.or(())
}

fn size(step: &BudgetStep, platform: &Platform, files: &FileTree) -> Option<Problem> {
    let (size, most) = (files.size(), step.budget.size?);
    let over = size.checked_sub(most).filter(|over| *over > 0)?;
    let title = format!("the image for `{platform}` has {}", bytes(size));
    let problem = Problem::new(Code::OverBudget, title)
        .label(step.span, format!("{} more than {}", bytes(over), bytes(most)))
        .help("leave files out, or raise `size=`");
    let files = largest(files, NAMED);
    let files = files.iter().map(|file| (file.path.as_slice(), file.size, file.layer));
    Some(named(problem, "largest files", files))
}

fn layers(step: &BudgetStep, report: &PlatformReport) -> Option<Problem> {
    let (count, most) = (report.layers.len() as u64, step.budget.layers?);
    (count > most).then(|| {
        let title = format!("the image for `{}` has {count} layers", report.platform);
        Problem::new(Code::OverBudget, title)
            .label(step.span, format!("at most {most}"))
            .help("put several `copy` into one `layer`, or raise `layers=`")
    })
}

fn waste(step: &BudgetStep, platform: &Platform, files: &FileTree) -> Option<Problem> {
    let (size, lost) = (files.size(), files.wasted_size());
    let (over, found, most) = match step.budget.wasted? {
        config::Waste::Bytes(most) => (lost > most, bytes(lost), bytes(most)),
        config::Waste::Percent(most) => {
            let found = percent(lost, size);
            (found > most, format!("{} ({found:.1} %)", bytes(lost)), format!("{most} %"))
        }
    };
    if !over {
        return None;
    }
    let title = format!("the image for `{platform}` wastes {found}");
    let problem = Problem::new(Code::OverBudget, title)
        .label(step.span, format!("at most {most}"))
        .help("do not put files into a layer that a later one replaces or deletes");
    let files = wasted(files);
    let files = files.iter().take(NAMED);
    let files = files.map(|Waste { path, size, layer, .. }| (path.as_slice(), *size, *layer));
    Some(named(problem, "wasted", files))
}

fn growth(step: &BudgetStep, image: &PlatformReport, before: &PlatformReport) -> Option<Problem> {
    let (had, has) = (before.transferred(), image.transferred());
    let grown = has.checked_sub(had).filter(|grown| *grown > 0)?;
    let share = percent(grown, had);
    let (over, most) = match step.budget.growth? {
        config::Waste::Bytes(most) => (grown > most, bytes(most)),
        config::Waste::Percent(most) => (share > most, format!("{most} %")),
    };
    if !over {
        return None;
    }
    let by = if had == 0 { bytes(grown) } else { format!("{} ({share:.1} %)", bytes(grown)) };
    let title = format!("the image for `{}` grew by {by}", image.platform);
    let problem = Problem::new(Code::OverBudget, title).label(step.span, format!("at most {most}"));
    let place = step.since.iter().map(|since| format!(" for {}:{}", since.registry.place, since.tag));
    let note = format!("{} have to be pulled, and {}{}", bytes(has), bytes(had), place.collect::<String>());
    let problem = problem.note(note);
    let known: BTreeSet<&Digest> = before.layers.iter().map(|layer| &layer.descriptor.digest).collect();
    let new = image.layers.iter().enumerate().filter(|(_, layer)| !known.contains(&layer.descriptor.digest));
    let line = |(at, layer): (usize, &LayerReport)| {
        let maker: String = layer.created_by.as_deref().unwrap_or_default().chars().take(LONGEST).collect();
        format!("\n  {:>9}  layer {}  {maker}", bytes(layer.descriptor.size), at + 1).trim_end().to_owned()
    };
    let list = new.map(line).fold("layers that are new:".to_owned(), |list, line| list + &line);
    Some(problem.note(list).help("leave files out, or raise `growth=`"))
}

/// Adds a list of files as a note.
fn named<'a>(problem: Problem, what: &str, files: impl Iterator<Item = (&'a [u8], u64, usize)>) -> Problem {
    let line = |(path, size, layer): (&[u8], u64, usize)| {
        format!("\n  {:>9}  /{} (layer {})", bytes(size), String::from_utf8_lossy(path), layer + 1)
    };
    problem.note(files.map(line).fold(format!("{what}:"), |list, line| list + &line))
}

#[expect(clippy::cast_precision_loss, reason = "a share is shown with one decimal")]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Budget;
    use crate::diagnostic::{Sources, Span};
    use crate::inspect::{View, image};
    use crate::oci::{
        Descriptor, ImageConfig, Layer, LayerCompression, LayerEntry, LayerEntryKind, Manifest, Platform,
        media_type,
    };
    use crate::plan::StepIndex;
    use crate::store::{Layout, Repository};

    fn directory() -> (tempfile::TempDir, Layout) {
        let directory = tempfile::tempdir().unwrap();
        let images = Layout::create(directory.path()).unwrap();
        (directory, images)
    }

    /// An image with these files in its layers: path and size.
    fn image_of(images: &Layout, layers: &[&[(&str, usize)]]) -> Descriptor {
        let mut config = ImageConfig::new(&"linux/amd64".parse::<Platform>().unwrap());
        let mut descriptors = Vec::new();
        for files in layers {
            let mut layer = Layer::default();
            for (path, size) in *files {
                let kind = LayerEntryKind::File { size: *size as u64, content: vec![0; *size] };
                layer.insert(path.as_bytes(), LayerEntry { kind, mode: 0o644, uid: 0, gid: 0 }).unwrap();
            }
            let mut blob = images.writer().unwrap();
            let content = |content: &Vec<u8>| Ok(std::io::Cursor::new(content.clone()));
            config.rootfs.diff_ids.push(layer.write(LayerCompression::GZIP, &mut blob, content).unwrap());
            descriptors.push(blob.commit(media_type::LAYER_GZIP).unwrap());
        }
        let config = images.write(media_type::CONFIG, &config.to_bytes()).unwrap();
        images.write(media_type::MANIFEST, &Manifest::new(config, descriptors).to_bytes()).unwrap()
    }

    fn step(size: Option<u64>, layers: Option<u64>, wasted: Option<config::Waste>) -> BudgetStep {
        let span = Span::new(Sources::new().add("release.kdl", ""), 1..2);
        BudgetStep {
            image: StepIndex(0),
            budget: Budget { size, layers, wasted, growth: None, since: None },
            since: None,
            span,
        }
    }

    async fn weighed(step: &BudgetStep, descriptor: &Descriptor, images: &Layout) -> Result<(), Problems> {
        let view = View { files: true, ..View::default() };
        let report = image(&Repository::Layout(images.clone()), descriptor, &view).await?;
        weigh(step, &report, None)
    }

    #[tokio::test]
    async fn an_image_within_its_budget_is_not_complained_about() {
        let (_directory, images) = directory();
        let image = image_of(&images, &[&[("a", 1000)], &[("a", 1000)]]);
        let step = step(Some(2000), Some(2), Some(config::Waste::Percent(50.0)));
        assert_eq!(weighed(&step, &image, &images).await, Ok(()));
        // What else the layout lists, and lacks, says nothing of the image.
        images.set_ref("gone", &Descriptor::of(media_type::MANIFEST, b"gone")).unwrap();
        assert_eq!(weighed(&step, &image, &images).await, Ok(()));
    }

    #[tokio::test]
    async fn every_bound_that_is_exceeded_is_named_with_what_weighs_most() {
        let (_directory, images) = directory();
        let image = image_of(&images, &[&[("etc/a", 1500), ("b", 30)], &[("etc/a", 2_500_000)]]);
        let step = step(Some(2_000_000), Some(1), Some(config::Waste::Bytes(1000)));
        let found = weighed(&step, &image, &images).await.unwrap_err();
        let over = |title: &str, label: &str, help: &str| {
            Problem::new(Code::OverBudget, title).label(step.span, label).help(help)
        };
        let expected = [
            over(
                "the image for `linux/amd64` has 2.5 MB",
                "501.5 kB more than 2.0 MB",
                "leave files out, or raise `size=`",
            )
            .note("largest files:\n     2.5 MB  /etc/a (layer 2)\n       30 B  /b (layer 1)"),
            over(
                "the image for `linux/amd64` has 2 layers",
                "at most 1",
                "put several `copy` into one `layer`, or raise `layers=`",
            ),
            over(
                "the image for `linux/amd64` wastes 1.5 kB",
                "at most 1.0 kB",
                "do not put files into a layer that a later one replaces or deletes",
            )
            .note("wasted:\n     1.5 kB  /etc/a (layer 1)"),
        ];
        assert_eq!(found.as_slice(), expected);
    }

    #[tokio::test]
    async fn a_report_tells_layers_files_and_waste() {
        let (_directory, images) = directory();
        let descriptor = image_of(&images, &[&[("a", 10), ("b", 20)], &[("a", 5)]]);
        let repository = Repository::Layout(images);
        let view = View { files: true, ..View::default() };
        let report = image(&repository, &descriptor, &view).await.unwrap();
        let [platform] = report.platforms.as_slice() else { panic!("{report:?}") };
        assert_eq!(platform.platform, "linux/amd64".parse().unwrap());
        assert!(platform.transferred() > 0);
        let files = platform.files.as_ref().unwrap();
        assert_eq!((files.size(), files.wasted_size()), (35, 10));
        let named = largest(files, 9);
        let named: Vec<_> = named.iter().map(|file| (file.path.as_slice(), file.size)).collect();
        assert_eq!(named, [(&b"b"[..], 20), (b"a", 5)]);

        // Without their files, layers are not read.
        std::fs::remove_file(repository_layer(&repository, platform)).unwrap();
        let light = image(&repository, &descriptor, &View::default()).await.unwrap();
        assert_eq!((light.platforms[0].files.as_ref(), light.platforms[0].layers[0].size), (None, None));
        assert!(image(&repository, &descriptor, &view).await.is_err());
    }

    fn repository_layer(repository: &Repository, platform: &PlatformReport) -> std::path::PathBuf {
        let Repository::Layout(layout) = repository else { panic!("a layout") };
        layout.blob_path(&platform.layers[0].descriptor.digest)
    }

    #[tokio::test]
    async fn a_platform_that_is_not_there_is_answered_with_those_that_are() {
        let (_directory, images) = directory();
        let descriptor = image_of(&images, &[&[("a", 10)]]);
        let view = View { platform: Some("linux/arm64".parse().unwrap()), ..View::default() };
        let problem = image(&Repository::Layout(images), &descriptor, &view).await.unwrap_err();
        assert_eq!(problem.title, "there is no image for `linux/arm64`");
        assert_eq!(problem.help.as_deref(), Some("it is for linux/amd64"));
    }
}
