//! A project is written file by file, and validated; not every validation passes.

use serde_json::json;

use crate::simulate::{step::Who::Generator, tale::Tale};

const NAMES: [&str; 3] = ["billing-api", "image-resizer", "status-page"];
const FILES: [(&str, &str); 4] = [
    ("Generating manifests", "deployment.yaml"),
    ("Generating manifests", "service.yaml"),
    ("Writing the code", "src/main.rs"),
    ("Writing tests", "tests/it.rs"),
];
const CHECKS: [&str; 4] = ["Format", "Lints", "Unit tests", "Coverage"];

pub(super) fn tell(tale: &mut Tale) {
    let fails = tale.telling() % 2 == 1;
    let project = write(tale);
    tale.wait(600..=1200);
    validate(tale, &project, fails);
}

fn write(tale: &mut Tale) -> String {
    let (name, suffix) = (*tale.pick(&NAMES), tale.between(100..=999));
    let data = json!({
        "name": format!("{name}-{suffix}"),
        "template": "rust-service",
        "description": "A service behind the gateway",
        "current_step": "Reading the template",
    });
    let project = tale.create(Generator, "project", "proj", data);
    let mut files = Vec::new();
    for ((step, file), progress) in FILES.into_iter().zip([25, 45, 70, 90]) {
        tale.wait(800..=1600);
        files.push(file);
        let patch = json!({"progress": progress, "current_step": step, "files": files});
        tale.patch(Generator, "project", &project, patch);
    }
    tale.wait(700..=1400);
    tale.patch(Generator, "project", &project, json!({"status": "completed", "progress": 100}));
    project
}

fn validate(tale: &mut Tale, project: &str, fails: bool) {
    let data = json!({"project_id": project, "checks_total": CHECKS.len(), "current_check": CHECKS[0]});
    let validation = tale.create(Generator, "validation", "val", data);
    for (check, completed) in CHECKS.into_iter().skip(1).zip(1..) {
        tale.wait(700..=1400);
        let patch = json!({"checks_completed": completed, "current_check": check});
        tale.patch(Generator, "validation", &validation, patch);
    }
    tale.wait(700..=1400);
    let tests = tale.between(20..=60);
    let tests_failed = if fails { tale.between(1..=4) } else { 0 };
    let summary = json!({
        "tests_passed": tests - tests_failed,
        "tests_failed": tests_failed,
        "coverage": tale.between(70..=96),
    });
    let status = if fails { "failed" } else { "passed" };
    let end = json!({"status": status, "checks_completed": CHECKS.len(), "summary": summary});
    tale.patch(Generator, "validation", &validation, end);
}
