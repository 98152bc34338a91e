//! The JSON schema of scenario files, for editors: `scenarios/schema.json`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema, schema_for};

use super::{Scenario, Span};
use crate::plan::FaultKind;

/// The schema, as the file in the repository has it.
///
/// # Panics
/// Never: a schema is plain data.
#[must_use]
pub fn schema() -> String {
    let schema = schema_for!(Scenario);
    serde_json::to_string_pretty(&schema).expect("a schema is plain data") + "\n"
}

/// A number for each kind of fault.
pub(super) struct FaultCounts;

impl JsonSchema for FaultCounts {
    fn schema_name() -> Cow<'static, str> {
        "FaultCounts".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let span = generator.subschema_for::<Span>();
        let properties: serde_json::Map<_, _> = FaultKind::NAMES
            .map(|name| (name.to_owned(), span.clone().into()))
            .into_iter()
            .collect();
        json_schema!({
            "type": "object",
            "properties": properties,
            "additionalProperties": false
        })
    }
}

/// A fault as plans have it.
pub(super) struct ExplicitFault;

impl JsonSchema for ExplicitFault {
    fn schema_name() -> Cow<'static, str> {
        "ExplicitFault".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "As in plan.json; the other keys depend on the kind.",
            "type": "object",
            "properties": {
                "at": { "type": "integer", "description": "Milliseconds from the load's beginning." },
                "kind": { "type": "string" }
            },
            "required": ["at", "kind"]
        })
    }
}
