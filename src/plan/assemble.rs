//! Steps that make an image.

use indexmap::IndexMap;
use jiff::Timestamp;

use crate::config::{Assemble, Base, Copy, Image, OutsideProject, ProjectPath, Recipe, Template};
use crate::diagnostic::{Code, Problem, Span};
use crate::facts::{ResolvedBase, Scope};
use crate::oci::Platform;
use crate::plan::base::{BASE_NAME, for_platform, not_for, remote_base};
use crate::plan::edge::{Edge, Why};
use crate::plan::lower::{Lower, Made};
use crate::plan::unit::{Job, Unit, platform};
use crate::plan::{
    Action, AssembleStep, BaseSource, CopyPlan, Definition, Effect, ImageSettings, IndexStep, LayerPlan,
    RemoteBase, RemovePlan, Subject,
};

/// Changes where equal parts come to make another image.
const FORMAT: &str = "assemble 3";

impl Lower<'_> {
    pub(super) fn build(&mut self, at: usize, image: &Image, number: usize, edges: &[Edge]) -> Made {
        let recipe = match &image.recipe {
            Recipe::Assemble(recipe) => recipe,
            Recipe::Dockerfile(recipe) => return self.dockerfile(at, image, recipe, number, edges),
        };
        let unit = Unit::Image { image: at, job: Job::Build(number) };
        let answers = self.answers(unit);
        let resolved = match answers.base.and_then(|at| self.facts.bases.get(at)) {
            Some(ResolvedBase::Found(descriptor, bytes)) => Some((descriptor.clone(), bytes.clone())),
            Some(ResolvedBase::Later) | None => None,
        };
        let base = match &recipe.from.value {
            Base::Scratch => BaseSource::Scratch,
            Base::Reference(template) => {
                let remote = resolved.and_then(|(descriptor, bytes)| {
                    let named = remote_base(self.release, self.facts, template);
                    let (reference, registry) = self.problems.take(named)?;
                    Some(RemoteBase { reference, registry, descriptor: *descriptor, bytes })
                });
                remote.map_or(BaseSource::Scratch, |base| BaseSource::Registry(Box::new(base)))
            }
            Base::Image(name) => {
                self.check_base(image, name, recipe.from.span, number);
                let based = |edge: &&Edge| edge.why == Why::Named(recipe.from.span);
                let built = edges.iter().find(based).and_then(|edge| self.places.get(&edge.to));
                built.map_or(BaseSource::Scratch, |place| BaseSource::Step(*place))
            }
            Base::Layout { path, .. } => resolved.map_or(BaseSource::Scratch, |(descriptor, bytes)| {
                BaseSource::Layout(path.clone(), descriptor, bytes)
            }),
        };
        let platform = platform(image, number, &self.facts.platform).clone();
        let scope = Scope::new(self.release, self.facts).on(&platform);
        let mut layers = Vec::new();
        for layer in &recipe.layers {
            let copies = layer.copies.iter().map(|copy| self.copy(&scope, image, copy)).collect();
            let remove =
                |path: &Template| RemovePlan { path: self.fill_absolute(&scope, path), span: path.span };
            let removes = layer.removes.iter().map(remove).collect();
            layers.push(LayerPlan { compression: layer.compression, removes, copies });
        }
        let settings = self.settings(&scope, image, recipe);
        let step = AssembleStep { platform: platform.clone(), base, layers, settings, span: recipe.span };
        let base = self.base_for(&step, recipe.from.span);
        let mut definition = self.define_assemble(&step, base);
        let found = answers.inputs.and_then(|at| self.facts.inputs.get(at));
        if let Some(files) = found {
            definition.inputs(&files.files);
        }
        let inputs = answers.inputs.and_then(|at| self.selection.needs.inputs.get(at)).cloned();
        Made { action: Action::Assemble(Box::new(step)), definition, effect: Effect::Cacheable, inputs }
    }

    /// An image that another starts from is built for the same platform.
    pub(super) fn check_base(&mut self, image: &Image, base: &str, span: Span, number: usize) {
        let Some(base) = self.release.images.get(base) else { return };
        let wanted = platform(image, number, &self.facts.platform);
        let built = (0..base.platforms.len().max(1)).map(|at| platform(base, at, &self.facts.platform));
        if built.into_iter().any(|built| built == wanted) {
            return;
        }
        let title = format!(
            "`{}` is built for {wanted}, and its base `{}` is not",
            image.name.value, base.name.value
        );
        let problem = Problem::new(Code::InvalidPlatform, title)
            .label(span, "starts from it here")
            .label(base.name.span, "declared here")
            .help(format!("add \"{wanted}\" to the `platforms` of `{}`", base.name.value));
        self.problems.push(problem);
    }

    fn copy(&mut self, scope: &Scope<'_>, image: &Image, copy: &Copy) -> CopyPlan {
        let from = self.fill(scope, &copy.from);
        let to = self.fill_absolute(scope, &copy.to);
        let path = image.home.join(&from).unwrap_or_else(|OutsideProject| {
            let title = format!("`{from}` leads out of the project");
            let problem = Problem::new(Code::OutsideProject, title).label(copy.from.span, "");
            self.problems.push(problem.help("copy it into the project, and name it there"));
            ProjectPath::root()
        });
        CopyPlan {
            from: path.to_string(),
            to,
            mode: copy.mode,
            uid: copy.uid,
            gid: copy.gid,
            exclude: copy.exclude.iter().map(|glob| glob.value.clone()).collect(),
            span: copy.span,
        }
    }

    fn settings(&mut self, scope: &Scope<'_>, image: &Image, recipe: &Assemble) -> ImageSettings {
        let mut list = |templates: &Option<Vec<Template>>| {
            templates.as_ref().map(|templates| self.fill_all(scope, templates))
        };
        let entrypoint = list(&recipe.entrypoint);
        // Arguments of the base's entry point mean nothing to another one.
        let cmd = list(&recipe.cmd).or_else(|| entrypoint.is_some().then(Vec::new));
        let user = recipe.user.as_ref().map(|template| self.fill(scope, template));
        let workdir = recipe.workdir.as_ref().map(|template| self.fill_absolute(scope, template));
        ImageSettings {
            entrypoint,
            cmd,
            user,
            workdir,
            expose: recipe.expose.iter().map(|port| with_protocol(port)).collect(),
            volumes: recipe.volumes.iter().map(|path| self.fill_absolute(scope, path)).collect(),
            env: self.fill_map(scope, &recipe.env),
            labels: self.labels(scope, image),
            stop_signal: recipe.stop_signal.clone(),
            created: self.created(),
        }
    }

    /// A path in an image, which starts at its root whatever a template makes of it.
    fn fill_absolute(&mut self, scope: &Scope<'_>, template: &Template) -> String {
        let known = self.problems.as_slice().len();
        let path = self.fill(scope, template);
        if self.problems.as_slice().len() == known && !path.starts_with('/') {
            let problem = Problem::new(Code::InvalidValue, format!("`{path}` is not an absolute path"))
                .label(template.span, "a path in an image starts with `/`")
                .help(format!("write `/{template}`"));
            self.problems.push(problem);
        }
        path
    }

    pub(super) fn fill_map(
        &mut self,
        scope: &Scope<'_>,
        map: &IndexMap<String, Template>,
    ) -> IndexMap<String, String> {
        map.iter().map(|(name, template)| (name.clone(), self.fill(scope, template))).collect()
    }

    /// The time that an image says it was made at: that of the commit, so that
    /// the same commit makes the same image.
    pub(super) fn created(&self) -> Timestamp {
        if self.facts.environment.text("SOURCE_DATE_EPOCH").is_some_and(|value| !value.is_empty()) {
            return self.facts.now;
        }
        self.facts.git.as_ref().map_or(Timestamp::UNIX_EPOCH, |git| git.time)
    }

    /// What the image of a platform starts from, as its key has it: other platforms
    /// of the same base do not matter.
    fn base_for(&mut self, step: &AssembleStep, span: Span) -> String {
        let (descriptor, bytes) = match &step.base {
            BaseSource::Scratch => return "scratch".to_owned(),
            BaseSource::Step(_) => return "another image of the file".to_owned(),
            BaseSource::Layout(_, descriptor, bytes) => (&**descriptor, bytes),
            BaseSource::Registry(base) => (&base.descriptor, &base.bytes),
        };
        match for_platform(descriptor, bytes, &step.platform) {
            Ok(found) => found.digest.to_string(),
            Err(platforms) => {
                self.problems.push(not_for(Code::InvalidPlatform, &step.platform, &platforms, span));
                String::new()
            }
        }
    }

    fn define_assemble(&self, step: &AssembleStep, base: String) -> Definition {
        let mut definition = Definition::default();
        definition.text(Subject::Format, FORMAT);
        definition.text(Subject::Platform, step.platform.to_string());
        definition.text(Subject::Base, base);
        for (at, layer) in step.layers.iter().enumerate() {
            let mut lines = vec![layer.compression.to_string()];
            lines.extend(layer.removes.iter().map(|remove| format!("remove {:?}", remove.path)));
            lines.extend(layer.copies.iter().map(recipe_of));
            self.define(&mut definition, Subject::Layer(at), lines.join("\n"));
        }
        let settings = &step.settings;
        let mut setting = |name: String, value: String| {
            self.define(&mut definition, Subject::Setting(name), value);
        };
        let lists = [("Entrypoint", &settings.entrypoint), ("Cmd", &settings.cmd)];
        for (name, list) in lists {
            if let Some(list) = list {
                setting(name.to_owned(), list.join("\0"));
            }
        }
        let texts = [
            ("User", &settings.user),
            ("WorkingDir", &settings.workdir),
            ("StopSignal", &settings.stop_signal),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                setting(name.to_owned(), text.clone());
            }
        }
        settings.expose.iter().for_each(|port| setting(format!("ExposedPorts {port}"), String::new()));
        settings.volumes.iter().for_each(|volume| setting(format!("Volumes {volume}"), String::new()));
        settings.env.iter().for_each(|(name, value)| setting(format!("Env {name}"), value.clone()));
        settings.labels.iter().for_each(|(name, value)| setting(format!("Labels {name}"), value.clone()));
        setting("created".to_owned(), settings.created.to_string());
        // The manifest names its base, whatever else has the same digest.
        if let BaseSource::Registry(base) = &step.base {
            setting(format!("annotations {BASE_NAME}"), base.reference.to_string());
        }
        definition
    }

    pub(super) fn index(&mut self, at: usize, image: &Image) -> Made {
        let default = &self.facts.platform;
        let builds = (0..image.platforms.len().max(1))
            .map(|number| (platform(image, number, default).clone(), self.place(at, Job::Build(number))));
        let platforms: Vec<(Platform, _)> = builds.collect();
        let scope = Scope::new(self.release, self.facts);
        let annotations = self.standard_labels(&scope, image);
        let mut definition = Definition::default();
        definition.text(Subject::Format, "index 1");
        let names: Vec<String> = platforms.iter().map(|(platform, _)| platform.to_string()).collect();
        definition.text(Subject::Platform, names.join(" "));
        for (name, value) in &annotations {
            definition.text(Subject::Setting(format!("annotations {name}")), value);
        }
        let local = self.local_names(image);
        for (name, _) in &local {
            definition.text(Subject::Setting("local name".to_owned()), name.clone());
        }
        Made::new(Action::Index(IndexStep { platforms, annotations, local }), definition, Effect::Cacheable)
    }
}

/// `8080` as the configuration of an image says it: `8080/tcp`.
fn with_protocol(port: &str) -> String {
    if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") }
}

/// All that says how a copy becomes part of a layer.
fn recipe_of(copy: &CopyPlan) -> String {
    let mode = copy.mode.map(|mode| format!(" mode={mode:04o}")).unwrap_or_default();
    let CopyPlan { from, to, uid, gid, exclude, .. } = copy;
    format!("{from:?} -> {to:?}{mode} owner={uid}:{gid} exclude={exclude:?}")
}
