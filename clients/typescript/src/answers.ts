/** What each model answers, typed from the Space's own OpenAPI document. */

import type { components } from "./openapi.js";

type Schemas = components["schemas"];

export type BoneFracture = Schemas["BoneFractureAnswer"];
export type FractureDetection = Schemas["FractureDetectionAnswer"];
export type FractureType = Schemas["FractureTypeAnswer"];
export type BreastCancer = Schemas["BreastCancerAnswer"];
export type BreastCancerBatch = Schemas["BreastCancerBatch"];
export type Pneumonia = Schemas["PneumoniaAnswer"];

/** Which network spoke, its threshold, and whether the film is of the kind that it reads. */
export type Meta = Schemas["Meta"];
