//! A graph of knowledge: concepts are added and related, revised, and pruned where they prove wrong.

use serde_json::json;

use crate::simulate::{step::Who::Inference, tale::Tale};

const CONCEPTS: [(&str, &str); 5] = [
    ("concept", "Credential stuffing"),
    ("asset", "Login service"),
    ("actor", "Group 17"),
    ("technique", "Password spraying"),
    ("control", "Second factor"),
];

pub(super) fn tell(tale: &mut Tale) {
    let mut entities = Vec::new();
    for (kind, label) in CONCEPTS {
        let confidence = tale.share(40..=95);
        let data = json!({"type": kind, "label": label, "properties": {"confidence": confidence}});
        entities.push(tale.create(Inference, "entity", "entity", data));
        tale.wait(300..=700);
    }
    let mut relationships = Vec::new();
    let edges = [(0, 1, "threatens"), (2, 3, "uses"), (3, 1, "targets"), (4, 0, "mitigates")];
    for (source, target, kind) in edges {
        let data = json!({
            "source_id": entities[source],
            "target_id": entities[target],
            "relationship_type": kind,
            "strength": tale.share(30..=90),
        });
        relationships.push(tale.create(Inference, "relationship", "rel", data));
        tale.wait(300..=700);
    }
    tale.wait(600..=1200);
    let properties = json!({"properties": {"confidence": 0.97, "sources": 12}});
    tale.patch(Inference, "entity", &entities[1], properties);
    tale.wait(600..=1200);
    tale.patch(Inference, "relationship", &relationships[0], json!({"strength": 0.95}));
    tale.wait(800..=1600);
    // What points at an entity goes before it.
    tale.delete(Inference, "relationship", &relationships[1]);
    tale.delete(Inference, "relationship", &relationships[2]);
    tale.wait(300..=700);
    tale.delete(Inference, "entity", &entities[3]);
}
