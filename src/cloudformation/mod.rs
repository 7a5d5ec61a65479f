//! The protocol of CloudFormation's custom resources.

pub mod event;
pub mod physical_id;
pub mod plugins_map;
pub mod properties;
pub mod response;
pub mod upload;
