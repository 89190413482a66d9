//! What subscriptions and lists can filter by.

/// A value that events and resources can be filtered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Attribute {
    /// How grave it is.
    Severity,
    /// What sort of incident, alert or entity it is about.
    Type,
    /// The project it belongs to.
    Project,
    /// The region it happened in.
    Region,
    /// The components it affects.
    Component,
}

impl Attribute {
    /// Every attribute.
    pub const ALL: [Self; 5] = [Self::Severity, Self::Type, Self::Project, Self::Region, Self::Component];

    /// The name under which the value stands in `attributes`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Severity => "severity",
            Self::Type => "type",
            Self::Project => "project",
            Self::Region => "region",
            Self::Component => "component",
        }
    }

    /// The attribute of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|attribute| attribute.name() == name)
    }

    /// The field of built-in kinds and types of events that holds the value.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::Severity => "severity",
            Self::Type => "type",
            Self::Project => "project_id",
            Self::Region => "region",
            Self::Component => "affected_components",
        }
    }
}
