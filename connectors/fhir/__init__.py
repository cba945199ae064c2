"""FHIR R4 messages: hospitals report attendances by ``POST /fhir/R4/$process-message``."""
