//! Who may call what: one table of every gRPC method. The state service refuses what it does not have, and the
//! documentation is generated from it.

use Role::{Admin, Agent, Operator, Service, Viewer};

use crate::{Principal, Role};

/// Who may call one method.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// The method as HTTP has it, such as `/signalbox.v1.AgentService/Connect`.
    pub path: &'static str,
    /// The roles that may call it, each for its own tenant.
    pub roles: &'static [Role],
    /// Whether it changes what a tenant has or who has access to it: then the tenant's log tells of each call.
    ///
    /// Neither sessions of agents nor the places that edges hold are such changes: the first have events of
    /// their own, the second pass by themselves.
    pub mutates: bool,
    /// Whether it is what enrolment tokens are for; they may call nothing else.
    pub enrols: bool,
    /// Whether administrators of the platform may call it.
    pub platform: bool,
}

impl Rule {
    /// The method as documents have it, such as `AgentService.Connect`.
    #[must_use]
    pub fn method(&self) -> String {
        let name = self.path.rsplit_once("v1.").map_or(self.path, |(_, name)| name);
        name.replace('/', ".")
    }
}

const EVERYBODY: &[Role] = &Role::ALL;
const WATCHES: &[Role] = &[Viewer, Operator, Admin, Service];
const OPERATES: &[Role] = &[Operator, Admin];
const PUBLISHES: &[Role] = &[Operator, Admin, Agent];
const ADMINISTERS: &[Role] = &[Admin];
const IS_AGENT: &[Role] = &[Agent];
const IS_EDGE: &[Role] = &[Service];
const NOBODY: &[Role] = &[];

const fn rule(path: &'static str, roles: &'static [Role]) -> Rule {
    Rule { path, roles, mutates: false, enrols: false, platform: false }
}

const fn change(path: &'static str, roles: &'static [Role]) -> Rule {
    Rule { path, roles, mutates: true, enrols: false, platform: false }
}

/// A method for the holders of enrolment tokens, which have no role.
const fn enrolment(path: &'static str) -> Rule {
    Rule { path, roles: &[], mutates: true, enrols: true, platform: false }
}

/// A method that administrators of the platform may call too.
const fn platform(path: &'static str, roles: &'static [Role]) -> Rule {
    Rule { path, roles, mutates: false, enrols: false, platform: true }
}

/// A method by which administrators of the platform change a tenant, and nobody else: its log tells of the call.
const fn platform_change(path: &'static str) -> Rule {
    Rule { path, roles: NOBODY, mutates: true, enrols: false, platform: true }
}

/// Every method, in the order of the names.
pub const RULES: &[Rule] = &[
    platform("/signalbox.v1.AccessService/Authenticate", EVERYBODY),
    change("/signalbox.v1.AccessService/CreateApiKey", ADMINISTERS),
    change("/signalbox.v1.AccessService/CreateEnrolmentToken", ADMINISTERS),
    enrolment("/signalbox.v1.AccessService/Enrol"),
    change("/signalbox.v1.AccessService/IssueToken", ADMINISTERS),
    rule("/signalbox.v1.AccessService/ListApiKeys", ADMINISTERS),
    rule("/signalbox.v1.AccessService/ListEnrolmentTokens", ADMINISTERS),
    change("/signalbox.v1.AccessService/RevokeApiKey", ADMINISTERS),
    change("/signalbox.v1.AccessService/RevokeEnrolmentToken", ADMINISTERS),
    change("/signalbox.v1.AccessService/RotateAgentKey", IS_AGENT),
    rule("/signalbox.v1.AgentService/Connect", IS_AGENT),
    change("/signalbox.v1.AgentService/CreateAgent", ADMINISTERS),
    change("/signalbox.v1.AgentService/DeleteAgent", ADMINISTERS),
    rule("/signalbox.v1.AgentService/GetAgent", WATCHES),
    rule("/signalbox.v1.AgentService/ListAgents", WATCHES),
    change("/signalbox.v1.AgentService/UpdateAgent", ADMINISTERS),
    change("/signalbox.v1.CatalogService/ApplyKind", ADMINISTERS),
    change("/signalbox.v1.CatalogService/DeleteKind", ADMINISTERS),
    rule("/signalbox.v1.CatalogService/GetKind", EVERYBODY),
    rule("/signalbox.v1.CatalogService/ListEventTypes", EVERYBODY),
    rule("/signalbox.v1.CatalogService/ListKinds", EVERYBODY),
    change("/signalbox.v1.CommandService/CancelCommand", OPERATES),
    rule("/signalbox.v1.CommandService/GetCommand", WATCHES),
    change("/signalbox.v1.CommandService/IssueCommand", OPERATES),
    rule("/signalbox.v1.CommandService/ListCommands", WATCHES),
    change("/signalbox.v1.EventService/Publish", PUBLISHES),
    change("/signalbox.v1.EventService/PublishStream", PUBLISHES),
    rule("/signalbox.v1.PlaceService/HoldPlaces", IS_EDGE),
    rule("/signalbox.v1.PlaceService/ReleasePlaces", IS_EDGE),
    rule("/signalbox.v1.PlaceService/RenewPlaces", IS_EDGE),
    change("/signalbox.v1.ResourceService/CreateResource", PUBLISHES),
    change("/signalbox.v1.ResourceService/DeleteResource", PUBLISHES),
    rule("/signalbox.v1.ResourceService/GetResource", EVERYBODY),
    rule("/signalbox.v1.ResourceService/ListResources", EVERYBODY),
    change("/signalbox.v1.ResourceService/UpdateResource", PUBLISHES),
    rule("/signalbox.v1.SystemService/GetSystemStatus", WATCHES),
    rule("/signalbox.v1.TenantService/CheckTenants", IS_EDGE),
    platform_change("/signalbox.v1.TenantService/CreateTenant"),
    platform_change("/signalbox.v1.TenantService/DeleteTenant"),
    platform("/signalbox.v1.TenantService/GetTenant", ADMINISTERS),
    platform("/signalbox.v1.TenantService/ListTenants", NOBODY),
    platform_change("/signalbox.v1.TenantService/ResumeTenant"),
    platform_change("/signalbox.v1.TenantService/SuspendTenant"),
    platform_change("/signalbox.v1.TenantService/UpdateTenant"),
    rule("/signalbox.v1.WatchService/Read", WATCHES),
    rule("/signalbox.v1.WatchService/Watch", WATCHES),
];

/// The row of the method of this path; what has none is for nobody.
#[must_use]
pub fn rule_of(path: &str) -> Option<&'static Rule> {
    RULES.binary_search_by_key(&path, |rule| rule.path).ok().map(|at| &RULES[at])
}

/// Whether somebody may call the method of this path; nobody may call one that is not in the table.
#[must_use]
pub fn may_call(principal: &Principal, path: &str) -> bool {
    let Some(rule) = rule_of(path) else { return false };
    if principal.is_platform() { rule.platform } else { rule.roles.contains(&principal.role) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_names_each_method_once() {
        assert!(RULES.is_sorted_by(|a, b| a.path < b.path));
    }

    fn caller(tenant_id: &str, role: Role) -> Principal {
        Principal {
            subject: "ann".into(),
            tenant_id: tenant_id.into(),
            role,
            expires_at: None,
            fingerprint: None,
            key_id: None,
            agent_id: None,
        }
    }

    #[test]
    fn what_is_not_in_the_table_is_for_nobody() {
        let get = rule_of("/signalbox.v1.AgentService/GetAgent").unwrap();
        assert_eq!(get.method(), "AgentService.GetAgent");
        for path in ["", "/", "/signalbox.v1.AgentService/Unheard", "/signalbox.v1.AgentService/GetAgent/"] {
            assert_eq!(rule_of(path), None, "{path}");
            assert!(Role::ALL.into_iter().all(|role| !may_call(&caller("acme", role), path)), "{path}");
            assert!(!may_call(&caller("*", Admin), path), "{path}");
        }
    }

    #[test]
    fn administrators_of_the_platform_have_tenants_and_nothing_of_theirs() {
        for rule in RULES {
            let is_of_tenants = rule.path.starts_with("/signalbox.v1.TenantService/");
            let expected = (is_of_tenants && rule.roles != IS_EDGE) || rule.path.ends_with("/Authenticate");
            assert_eq!(may_call(&caller("*", Admin), rule.path), expected, "{}", rule.path);
            let is_own = is_of_tenants && rule.path.ends_with("/GetTenant");
            assert!(
                !is_of_tenants || is_own || !may_call(&caller("acme", Admin), rule.path),
                "{}",
                rule.path
            );
            let is_edges = rule.path.ends_with("/CheckTenants");
            assert!(
                !is_of_tenants || is_edges || !may_call(&caller("*", Service), rule.path),
                "{}",
                rule.path
            );
        }
    }

    #[test]
    fn an_enrolment_token_is_good_for_enrolling_alone_and_nobody_else_enrols() {
        let enrolling: Vec<_> = RULES.iter().filter(|rule| rule.enrols).collect();
        assert_eq!(enrolling.len(), 1);
        assert!(enrolling[0].path.ends_with("/Enrol") && enrolling[0].roles.is_empty());
    }
}
