//! Stacks of CloudFormation: found, brought up to date, removed; and what is heard meanwhile.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::types::{Capability, Parameter, StackEvent};
use squall_fleet::sizing::{Architecture, Function};
use squall_fleet::{CeilingError, Ceilings, StoreError};
use thiserror::Error;

use super::template::{MOST_LANES, name_in_lane};
use crate::Connection;
use crate::failure::{code, failure};

/// How often it is looked how far a stack is: often at first, for those that are quick.
const FIRST_LOOK: Duration = Duration::from_millis(250);
const LATER_LOOKS: Duration = Duration::from_secs(3);

/// The processors of a stack that does not say them.
const DEFAULT: Architecture = Function::DEFAULT.architecture;

/// The parameter that only a fleet's template has.
const MARK: &str = "SquallVersion";

/// A stack as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    /// Unlike that of another stack which had the same name earlier.
    pub id: String,
    /// What CloudFormation calls its state.
    pub status: String,
    /// What it says of itself.
    pub outputs: BTreeMap<String, String>,
    /// What it was made with.
    pub parameters: BTreeMap<String, String>,
}

/// A stack that a run can use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fleet {
    /// Where everything is kept.
    pub bucket: String,
    /// Where seats are offered and taken. Never empty.
    pub lanes: Vec<Lane>,
    /// Where seats are kept that could not be taken.
    pub dead_letter_queue_url: String,
    /// Of the command that deployed it.
    pub version: String,
    /// How long a generator may live.
    pub timeout: Duration,
    /// Memory of a generator, in MB.
    pub memory_mb: u32,
    /// Processors of a generator.
    pub architecture: Architecture,
    /// What its generators may do at most, as far as the stack's parameters say.
    pub ceilings: Result<Ceilings, CeilingError>,
}

/// A lane: a queue, and who answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// Where its seats are offered.
    pub queue_url: String,
    /// The function's name.
    pub function: String,
    /// The event source mapping's id.
    pub mapping: String,
}

/// Something that happened to a part of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which part, by its name in the template.
    pub resource: String,
    /// Its state.
    pub status: String,
    /// Why, if somebody says.
    pub reason: Option<String>,
}

/// Is told what happens.
pub trait Progress {
    /// A part of the stack has changed.
    fn change(&mut self, change: &Change);
}

/// Why a stack is not as it should be.
#[derive(Debug, Error)]
pub enum StackError {
    /// CloudFormation could not be asked.
    #[error(transparent)]
    Call(#[from] StoreError),
    /// Somebody is changing it.
    #[error("stack `{stack}` is being changed by somebody ({status})")]
    Busy {
        /// Its name.
        stack: String,
        /// Its state.
        status: String,
    },
    /// It is no fleet, but something else of that name.
    #[error("stack `{0}` is no fleet of Squall")]
    Foreign(String),
    /// It is in a state that no update leads out of.
    #[error("stack `{stack}` is broken ({status})")]
    Broken {
        /// Its name.
        stack: String,
        /// Its state.
        status: String,
    },
    /// The change failed.
    #[error("stack `{stack}` ended in {status}: {cause}")]
    Failed {
        /// Its name.
        stack: String,
        /// Its state.
        status: String,
        /// The first part that failed, and why.
        cause: String,
    },
}

impl Fleet {
    /// What a generator runs on.
    #[must_use]
    pub fn runs_on(&self) -> Function {
        Function { memory_mb: self.memory_mb, architecture: self.architecture }
    }
}

impl Stack {
    /// The fleet in it; `None` if it is not deployed whole.
    #[must_use]
    pub fn fleet(&self) -> Option<Fleet> {
        let output = |name: &str| self.outputs.get(name).cloned();
        // A template of one's own may know of no lanes.
        let lanes: u32 = output("Lanes").map_or(Some(1), |lanes| lanes.parse().ok())?;
        let lane = |lane| {
            let output = |name| output(&name_in_lane(name, lane));
            Some(Lane {
                queue_url: output("QueueUrl")?,
                function: output("Function")?,
                mapping: output("Mapping")?,
            })
        };
        Some(Fleet {
            bucket: output("Bucket")?,
            lanes: (1..=lanes.clamp(1, MOST_LANES)).map(lane).collect::<Option<_>>()?,
            dead_letter_queue_url: output("DeadLetterQueueUrl")?,
            version: output("Version")?,
            timeout: Duration::from_secs(output("TimeoutS")?.parse().ok()?),
            memory_mb: output("MemoryMb")?.parse().ok()?,
            architecture: output("Architecture").and_then(|name| Architecture::of(&name)).unwrap_or(DEFAULT),
            ceilings: self.ceilings(),
        })
    }

    fn ceilings(&self) -> Result<Ceilings, CeilingError> {
        let parameter = |name: &str| self.parameters.get(name).map_or("", String::as_str);
        Ceilings::from_texts(parameter("AllowedHosts"), parameter("MaxRate"), parameter("MaxGenerators"))
    }

    /// Whether it was made from this project's template, whole or not.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.parameters.contains_key(MARK)
    }

    /// Whether somebody is changing it.
    #[must_use]
    pub fn is_changing(&self) -> bool {
        self.status.ends_with("_IN_PROGRESS")
    }

    fn is_whole(&self) -> bool {
        ["CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"].contains(&self.status.as_str())
    }

    /// Its creation failed: there is nothing in it, and it can only be removed.
    fn is_stillborn(&self) -> bool {
        ["ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS"].contains(&self.status.as_str())
    }
}

/// The stacks of an account in a region.
#[derive(Debug, Clone)]
pub struct Stacks {
    client: Client,
}

impl Stacks {
    /// Those that are reached that way.
    #[must_use]
    pub fn new(connection: &Connection) -> Self {
        Self { client: Client::new(&connection.config) }
    }

    /// The stack with that name or id.
    pub async fn find(&self, stack: &str) -> Result<Option<Stack>, StoreError> {
        let found = self.client.describe_stacks().stack_name(stack).send().await;
        let found = match found {
            Ok(found) => found.stacks.unwrap_or_default().into_iter().next(),
            // That it is not there is a validation error, and a well-formed name gives no other.
            Err(error) if code(&error) == Some("ValidationError") => None,
            Err(error) => {
                return Err(failure(
                    format!("look at stack `{stack}` (cloudformation:DescribeStacks)"),
                    &error,
                ));
            }
        };
        Ok(found.map(|found| Stack {
            id: found.stack_id.unwrap_or_default(),
            status: found.stack_status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
            outputs: pairs(found.outputs.unwrap_or_default(), |output| {
                (output.output_key, output.output_value)
            }),
            parameters: pairs(found.parameters.unwrap_or_default(), |parameter| {
                (parameter.parameter_key, parameter.parameter_value)
            }),
        }))
    }

    /// The real name of a part of a stack, also of one that is not deployed whole.
    pub async fn part(&self, stack: &str, part: &str) -> Result<Option<String>, StoreError> {
        let request = self.client.describe_stack_resource().stack_name(stack).logical_resource_id(part);
        match request.send().await {
            Ok(found) => Ok(found.stack_resource_detail.and_then(|detail| detail.physical_resource_id)),
            Err(error) if code(&error) == Some("ValidationError") => Ok(None),
            Err(error) => {
                let action = format!("look into stack `{stack}` (cloudformation:DescribeStackResource)");
                Err(failure(action, &error))
            }
        }
    }

    /// Makes a stack what template and parameters say, and waits until it is.
    pub async fn apply(
        &self,
        stack: &str,
        template: &str,
        parameters: &BTreeMap<String, String>,
        progress: &mut impl Progress,
    ) -> Result<Stack, StackError> {
        let existing = match self.find(stack).await? {
            Some(foreign) if !foreign.is_ours() => return Err(StackError::Foreign(stack.to_owned())),
            Some(stillborn) if stillborn.is_stillborn() => {
                self.remove(stack, progress).await?;
                None
            }
            existing => existing,
        };
        match existing {
            None => {
                let mut seen = HashSet::new();
                let id = self.create(stack, template, parameters).await?;
                self.wait(stack, &id, &mut seen, progress).await
            }
            Some(busy) if busy.is_changing() => {
                Err(StackError::Busy { stack: stack.to_owned(), status: busy.status })
            }
            Some(broken) if !broken.is_whole() => {
                Err(StackError::Broken { stack: stack.to_owned(), status: broken.status })
            }
            Some(whole) => {
                let is_set = |(key, value)| whole.parameters.get(key) == Some(value);
                if parameters.iter().all(is_set) && self.template(stack).await? == template {
                    return Ok(whole);
                }
                let mut seen = HashSet::new();
                self.new_changes(&whole.id, &mut seen).await?;
                // What a template of one's own asks for besides stays as it is.
                let others = whole.parameters.keys().filter(|key| !parameters.contains_key(*key));
                let kept = others
                    .filter(|key| template.contains(key.as_str()))
                    .map(|key| Parameter::builder().parameter_key(key).use_previous_value(true).build());
                let all = in_its_form(parameters).into_iter().chain(kept).collect();
                self.update(stack, template, all).await?;
                self.wait(stack, &whole.id, &mut seen, progress).await
            }
        }
    }

    /// Removes a stack, and waits until it is gone.
    pub async fn remove(&self, stack: &str, progress: &mut impl Progress) -> Result<(), StackError> {
        let Some(existing) = self.find(stack).await? else { return Ok(()) };
        if !existing.is_ours() {
            return Err(StackError::Foreign(stack.to_owned()));
        }
        let mut seen = HashSet::new();
        self.new_changes(&existing.id, &mut seen).await?;
        let action = format!("delete stack `{stack}` (cloudformation:DeleteStack)");
        self.client
            .delete_stack()
            .stack_name(&existing.id)
            .send()
            .await
            .map_err(|error| failure(action, &error))?;
        match self.wait(stack, &existing.id, &mut seen, progress).await {
            Ok(_) => Ok(()),
            Err(StackError::Failed { status, .. }) if status == "DELETE_COMPLETE" => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn create(
        &self,
        stack: &str,
        template: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Result<String, StoreError> {
        let request = self
            .client
            .create_stack()
            .stack_name(stack)
            .template_body(template)
            .capabilities(Capability::CapabilityIam)
            .set_parameters(Some(in_its_form(parameters)));
        match request.send().await {
            Ok(created) => Ok(created.stack_id.unwrap_or_else(|| stack.to_owned())),
            Err(error) => {
                Err(failure(format!("create stack `{stack}` (cloudformation:CreateStack)"), &error))
            }
        }
    }

    async fn update(
        &self,
        stack: &str,
        template: &str,
        parameters: Vec<Parameter>,
    ) -> Result<(), StoreError> {
        let request = self
            .client
            .update_stack()
            .stack_name(stack)
            .template_body(template)
            .capabilities(Capability::CapabilityIam)
            .set_parameters(Some(parameters));
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) => {
                Err(failure(format!("update stack `{stack}` (cloudformation:UpdateStack)"), &error))
            }
        }
    }

    async fn template(&self, stack: &str) -> Result<String, StoreError> {
        match self.client.get_template().stack_name(stack).send().await {
            Ok(found) => Ok(found.template_body.unwrap_or_default()),
            Err(error) => {
                Err(failure(format!("read the template of `{stack}` (cloudformation:GetTemplate)"), &error))
            }
        }
    }

    /// Waits for the end of a change. The first part that fails is the cause of whatever fails after it.
    async fn wait(
        &self,
        stack: &str,
        id: &str,
        seen: &mut HashSet<String>,
        progress: &mut impl Progress,
    ) -> Result<Stack, StackError> {
        let mut cause = None;
        let mut pause = FIRST_LOOK;
        loop {
            let now = self.find(id).await?;
            for change in self.new_changes(id, seen).await? {
                if change.status.ends_with("_FAILED") {
                    cause.get_or_insert_with(|| change.clone());
                }
                progress.change(&change);
            }
            match now {
                Some(now) if now.is_changing() => {}
                Some(now) if now.is_whole() && now.status != "UPDATE_ROLLBACK_COMPLETE" => return Ok(now),
                now => {
                    let cause = cause.map_or_else(
                        || "no part of it says why".to_owned(),
                        |cause| {
                            let reason = cause.reason.unwrap_or_else(|| "no reason given".to_owned());
                            format!("`{}`: {reason}", cause.resource)
                        },
                    );
                    let status = now.map_or_else(|| "DELETE_COMPLETE".to_owned(), |now| now.status);
                    return Err(StackError::Failed { stack: stack.to_owned(), status, cause });
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LATER_LOOKS);
        }
    }

    /// What has happened since the last time, in order.
    async fn new_changes(&self, id: &str, seen: &mut HashSet<String>) -> Result<Vec<Change>, StoreError> {
        let mut pages = self.client.describe_stack_events().stack_name(id).into_paginator().send();
        let mut new = Vec::new();
        // The newest come first, so the first known one ends the search.
        'pages: while let Some(page) = pages.next().await {
            let page = match page {
                Ok(page) => page,
                // A stack that is gone has nothing more to say.
                Err(error) if code(&error) == Some("ValidationError") => break,
                Err(error) => {
                    let action = format!("read the events of `{id}` (cloudformation:DescribeStackEvents)");
                    return Err(failure(action, &error));
                }
            };
            for event in page.stack_events.unwrap_or_default() {
                if !seen.insert(event.event_id.clone().unwrap_or_default()) {
                    break 'pages;
                }
                new.push(change(event));
            }
        }
        new.reverse();
        Ok(new)
    }
}

fn change(event: StackEvent) -> Change {
    Change {
        resource: event.logical_resource_id.unwrap_or_default(),
        status: event.resource_status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
        reason: event.resource_status_reason.filter(|reason| !reason.is_empty()),
    }
}

fn in_its_form(parameters: &BTreeMap<String, String>) -> Vec<Parameter> {
    let parameter = |(key, value): (&String, &String)| {
        Parameter::builder().parameter_key(key).parameter_value(value).build()
    };
    parameters.iter().map(parameter).collect()
}

fn pairs<T>(all: Vec<T>, pair: impl Fn(T) -> (Option<String>, Option<String>)) -> BTreeMap<String, String> {
    all.into_iter().map(pair).filter_map(|(key, value)| Some((key?, value?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(outputs: &[&str], lanes: Option<&str>) -> Stack {
        let own = outputs.iter().map(|name| ((*name).to_owned(), format!("the {name}")));
        let others = [("TimeoutS", Some("900")), ("MemoryMb", Some("1769")), ("Lanes", lanes)];
        let others =
            others.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        Stack {
            id: "id".to_owned(),
            status: "CREATE_COMPLETE".to_owned(),
            outputs: own.chain(others).collect(),
            parameters: BTreeMap::new(),
        }
    }

    #[test]
    fn a_fleet_is_whole_when_all_its_lanes_are_there() {
        let one = ["Bucket", "DeadLetterQueueUrl", "Version", "QueueUrl", "Function", "Mapping"];
        let two = [&one[..], &["QueueUrl2", "Function2", "Mapping2"]].concat();
        let lanes = |outputs: &[&str], lanes| stack(outputs, lanes).fleet().map(|fleet| fleet.lanes.len());
        assert_eq!(lanes(&one, None), Some(1));
        assert_eq!(lanes(&one, Some("1")), Some(1));
        assert_eq!(lanes(&two, Some("1")), Some(1));
        assert_eq!(lanes(&two, Some("2")), Some(2));
        assert_eq!(lanes(&one, Some("2")), None);
        assert_eq!(lanes(&two, Some("many")), None);
        assert_eq!(lanes(&one[1..], None), None);
        let second = stack(&two, Some("2")).fleet().unwrap().lanes.pop().unwrap();
        assert_eq!((second.queue_url.as_str(), second.function.as_str()), ("the QueueUrl2", "the Function2"));
    }

    #[test]
    fn a_stacks_parameters_say_what_its_generators_may_do() {
        let mut stack = stack(&[], None);
        assert_eq!(stack.ceilings().unwrap(), Ceilings::default());
        for (name, value) in [("AllowedHosts", "shop.test"), ("MaxRate", "5"), ("MaxGenerators", "0")] {
            stack.parameters.insert(name.to_owned(), value.to_owned());
        }
        let ceilings = stack.ceilings().unwrap();
        assert_eq!(ceilings.rate.map(std::num::NonZeroU32::get), Some(5));
        assert!(ceilings.hosts.is_some() && ceilings.generators.is_none());
    }
}
