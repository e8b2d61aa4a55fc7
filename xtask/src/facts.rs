//! What the house is: its crates, what they depend on, what their sources mention.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};
use syn::visit::Visit;

/// Everything that the rules look at.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// The table in ARCHITECTURE.md, by crate.
    pub(crate) table: BTreeMap<String, Rule>,
    /// The crates under `crates/`.
    pub(crate) crates: BTreeMap<String, Crate>,
}

/// A row of the table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rule {
    pub(crate) pure: bool,
    /// The inner crates that it may depend on.
    pub(crate) allowed: BTreeSet<String>,
}

/// A crate as it is.
#[derive(Debug, Default)]
pub(crate) struct Crate {
    /// Inner crates that it depends on, for building or testing.
    pub(crate) inner: BTreeSet<String>,
    /// All that is linked into it, directly or not.
    pub(crate) linked: BTreeSet<String>,
    /// Paths that its sources outside tests mention, each with its file.
    pub(crate) mentions: BTreeSet<(String, String)>,
    /// Whether its `lib.rs` says first what it is for.
    pub(crate) is_described: bool,
    /// Whether its `lib.rs` has a function.
    pub(crate) has_logic_in_lib: bool,
    /// Files with more lines than one can read at once.
    pub(crate) long_files: Vec<String>,
}

/// More lines, without tests, are two files.
const LONG: usize = 500;

pub(crate) fn gather(root: &Path) -> Result<Facts> {
    let metadata = MetadataCommand::new().manifest_path(root.join("Cargo.toml")).exec()?;
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).context("ARCHITECTURE.md cannot be read")?;
    let mut facts = Facts { table: table(&text), ..Facts::default() };
    let houses = metadata.workspace_packages().into_iter().filter(|package| {
        let folder = package.manifest_path.parent().and_then(|folder| folder.parent());
        folder.is_some_and(|folder| folder.ends_with("crates"))
    });
    let houses: Vec<_> = houses.collect();
    let names: BTreeSet<&str> = houses.iter().map(|package| package.name.as_str()).collect();
    for package in &houses {
        let inner = package.dependencies.iter().map(|dependency| dependency.name.clone());
        let mut found = Crate {
            inner: inner.filter(|name| names.contains(name.as_str())).collect(),
            linked: linked(&metadata, &package.id),
            ..Crate::default()
        };
        let folder = package.manifest_path.parent().context("manifest without a folder")?;
        read_sources(folder.as_std_path(), &mut found)?;
        facts.crates.insert(package.name.to_string(), found);
    }
    Ok(facts)
}

/// The rows between the two marks: crate, pure or not, allowed dependencies.
fn table(text: &str) -> BTreeMap<String, Rule> {
    let rows = text
        .lines()
        .skip_while(|line| !line.contains("crates:begin"))
        .take_while(|line| !line.contains("crates:end"));
    let cells = rows.filter_map(|line| {
        let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        match cells.as_slice() {
            [name, pure, allowed, ..] if name.starts_with('`') => {
                let name = name.trim_matches('`').to_owned();
                let allowed = allowed.split(',').map(|name| format!("squall-{}", name.trim()));
                let allowed = allowed.filter(|name| name != "squall-–" && name != "squall-").collect();
                Some((name, Rule { pure: *pure == "pure", allowed }))
            }
            _ => None,
        }
    });
    cells.collect()
}

/// All packages that end up in a crate, by name.
fn linked(metadata: &Metadata, root: &PackageId) -> BTreeSet<String> {
    let Some(resolve) = &metadata.resolve else { return BTreeSet::new() };
    let mut open = vec![root];
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        let node = resolve.nodes.iter().find(|node| node.id == *id);
        for dependency in node.iter().flat_map(|node| &node.deps) {
            let is_linked = dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal);
            if is_linked && seen.insert(&dependency.pkg) {
                open.push(&dependency.pkg);
            }
        }
    }
    seen.into_iter().map(|id| metadata[id].name.to_string()).collect()
}

fn read_sources(folder: &Path, found: &mut Crate) -> Result<()> {
    let mut open = vec![folder.join("src")];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(
                fs::read_dir(&path)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?,
            );
            continue;
        }
        // A module of tests in a file of its own is told by its name.
        if path.extension().is_none_or(|ending| ending != "rs") || path.ends_with("tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&path)?;
        let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
        let file = syn::parse_file(&text).with_context(|| format!("{name} is no Rust"))?;
        if text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count() > LONG {
            found.long_files.push(name.clone());
        }
        let is_root = ["src/lib.rs", "src/main.rs"].contains(&name.as_str());
        found.is_described |= is_root && text.starts_with("//!");
        found.has_logic_in_lib |= name == "src/lib.rs" && file.items.iter().any(has_logic);
        let mut mentions = Mentions::default();
        mentions.visit_file(&file);
        found.mentions.extend(mentions.paths.into_iter().map(|mention| (name.clone(), mention)));
    }
    Ok(())
}

fn has_logic(item: &syn::Item) -> bool {
    matches!(item, syn::Item::Fn(_) | syn::Item::Impl(_) | syn::Item::Trait(_) | syn::Item::Macro(_))
}

/// Collects the paths and macros that code mentions, tests left out.
#[derive(Debug, Default)]
struct Mentions {
    paths: BTreeSet<String>,
}

impl<'ast> Visit<'ast> for Mentions {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = match item {
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            _ => return syn::visit::visit_item(self, item),
        };
        if !attributes.iter().any(is_for_tests) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.paths.insert(segments.join("::"));
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        if let Some(name) = called.path.segments.last() {
            self.paths.insert(format!("{}!", name.ident));
        }
        syn::visit::visit_macro(self, called);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.use_tree("", &item.tree);
    }
}

impl Mentions {
    fn use_tree(&mut self, prefix: &str, tree: &syn::UseTree) {
        let join = |name: String| if prefix.is_empty() { name } else { format!("{prefix}::{name}") };
        match tree {
            syn::UseTree::Path(path) => self.use_tree(&join(path.ident.to_string()), &path.tree),
            syn::UseTree::Name(name) => drop(self.paths.insert(join(name.ident.to_string()))),
            syn::UseTree::Rename(name) => drop(self.paths.insert(join(name.ident.to_string()))),
            syn::UseTree::Glob(_) => drop(self.paths.insert(join("*".to_owned()))),
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.use_tree(prefix, tree));
            }
        }
    }
}

fn is_for_tests(attribute: &syn::Attribute) -> bool {
    let syn::Meta::List(list) = &attribute.meta else { return false };
    list.path.is_ident("cfg") && list.tokens.to_string() == "test"
}
