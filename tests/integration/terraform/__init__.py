"""A stand-in for the AWS provider of Terraform: what it asks, in which order, what it waits for and what it reads.

Terraform is no dependency of the tests, so its provider's habits are written down here as far as a service can notice them.
A resource is applied to a configuration and planned again; a plan that is not empty right after an apply is what users of an
imperfect service know as the endless diff. Where the provider would follow a nil pointer, the stand-in indexes without a look.

Its waiting times are the provider's divided by one factor (:data:`integration.terraform.patience.HURRY`); its rules are not changed.
"""
