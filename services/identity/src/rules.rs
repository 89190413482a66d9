//! Who may call what: one table of every gRPC method. The state service refuses what it does not have, and the
//! documentation is generated from it.

use Role::{Admin, Agent, Operator, Service, Viewer};

use crate::Role;

/// Who may call one method.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// The method as HTTP has it, such as `/signalbox.v1.AgentService/Connect`.
    pub path: &'static str,
    /// The roles that may call it.
    pub roles: &'static [Role],
}

const EVERYBODY: &[Role] = &Role::ALL;
const WATCHES: &[Role] = &[Viewer, Operator, Admin, Service];
const OPERATES: &[Role] = &[Operator, Admin];
const PUBLISHES: &[Role] = &[Operator, Admin, Agent];
const ADMINISTERS: &[Role] = &[Admin];
const IS_AGENT: &[Role] = &[Agent];
const IS_EDGE: &[Role] = &[Service];

const fn rule(path: &'static str, roles: &'static [Role]) -> Rule {
    Rule { path, roles }
}

/// Every method, in the order of the names.
pub const RULES: &[Rule] = &[
    rule("/signalbox.v1.AccessService/Authenticate", EVERYBODY),
    rule("/signalbox.v1.AccessService/CreateApiKey", ADMINISTERS),
    rule("/signalbox.v1.AccessService/IssueToken", ADMINISTERS),
    rule("/signalbox.v1.AccessService/ListApiKeys", ADMINISTERS),
    rule("/signalbox.v1.AccessService/RevokeApiKey", ADMINISTERS),
    rule("/signalbox.v1.AgentService/Connect", IS_AGENT),
    rule("/signalbox.v1.AgentService/CreateAgent", ADMINISTERS),
    rule("/signalbox.v1.AgentService/DeleteAgent", ADMINISTERS),
    rule("/signalbox.v1.AgentService/GetAgent", WATCHES),
    rule("/signalbox.v1.AgentService/ListAgents", WATCHES),
    rule("/signalbox.v1.AgentService/UpdateAgent", ADMINISTERS),
    rule("/signalbox.v1.CatalogService/ApplyKind", ADMINISTERS),
    rule("/signalbox.v1.CatalogService/DeleteKind", ADMINISTERS),
    rule("/signalbox.v1.CatalogService/GetKind", EVERYBODY),
    rule("/signalbox.v1.CatalogService/ListEventTypes", EVERYBODY),
    rule("/signalbox.v1.CatalogService/ListKinds", EVERYBODY),
    rule("/signalbox.v1.CommandService/CancelCommand", OPERATES),
    rule("/signalbox.v1.CommandService/GetCommand", WATCHES),
    rule("/signalbox.v1.CommandService/IssueCommand", OPERATES),
    rule("/signalbox.v1.CommandService/ListCommands", WATCHES),
    rule("/signalbox.v1.EventService/Publish", PUBLISHES),
    rule("/signalbox.v1.EventService/PublishStream", PUBLISHES),
    rule("/signalbox.v1.PlaceService/HoldPlaces", IS_EDGE),
    rule("/signalbox.v1.PlaceService/ReleasePlaces", IS_EDGE),
    rule("/signalbox.v1.PlaceService/RenewPlaces", IS_EDGE),
    rule("/signalbox.v1.ResourceService/CreateResource", PUBLISHES),
    rule("/signalbox.v1.ResourceService/DeleteResource", PUBLISHES),
    rule("/signalbox.v1.ResourceService/GetResource", EVERYBODY),
    rule("/signalbox.v1.ResourceService/ListResources", EVERYBODY),
    rule("/signalbox.v1.ResourceService/UpdateResource", PUBLISHES),
    rule("/signalbox.v1.SystemService/GetSystemStatus", WATCHES),
    rule("/signalbox.v1.WatchService/Read", WATCHES),
    rule("/signalbox.v1.WatchService/Watch", WATCHES),
];

/// Whether a role may call the method of this path; nobody may call one that is not in the table.
#[must_use]
pub fn may_call(role: Role, path: &str) -> bool {
    RULES.binary_search_by_key(&path, |rule| rule.path).is_ok_and(|at| RULES[at].roles.contains(&role))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_names_each_method_once() {
        assert!(RULES.is_sorted_by(|a, b| a.path < b.path));
    }

    #[test]
    fn what_is_not_in_the_table_is_for_nobody() {
        assert!(may_call(Role::Viewer, "/signalbox.v1.AgentService/GetAgent"));
        assert!(!may_call(Role::Viewer, "/signalbox.v1.AgentService/Connect"));
        for path in ["", "/", "/signalbox.v1.AgentService/Unheard", "/signalbox.v1.AgentService/GetAgent/"] {
            assert!(Role::ALL.into_iter().all(|role| !may_call(role, path)), "{path}");
        }
    }
}
