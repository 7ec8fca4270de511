/** The five models, and how this page puts the answer of each. */

import type { CallOptions, Film, ModelName, SecondLook } from "second-look-client";

/** What is printed of an answer, whichever model gave it. */
export interface Reading {
  /** The decision, in words. */
  headline: string;
  /** What the probability is of, and the probability, 0 to 1, that the threshold is held against. */
  of: string;
  probability: number;
  threshold: number;
}

export interface Model {
  title: string;
  ask: (space: SecondLook, film: Film, options: CallOptions) => Promise<Reading>;
}

export const MODELS: Record<ModelName, Model> = {
  bone_fracture: {
    title: "Bone fracture",
    ask: async (space, film, options) => {
      const { predicted_label, fracture_probability, meta } = await space.boneFracture(film, options);
      const headline = predicted_label === "fracture" ? "Fracture" : "No fracture found";
      return { headline, of: "a fracture", probability: fracture_probability, threshold: meta.threshold };
    },
  },
  fracture_detection: {
    title: "Fracture, second reader",
    ask: async (space, film, options) => {
      const { prediction, probabilities, meta } = await space.fractureDetection(film, options);
      const headline = prediction === "fractured" ? "Fracture" : "No fracture found";
      return { headline, of: "a fracture", probability: probabilities.fractured, threshold: meta.threshold };
    },
  },
  fracture_type: {
    title: "Fissure or fracture",
    ask: async (space, film, options) => {
      const answer = await space.fractureType(film, options);
      const named = { fisura: "Fissure (hairline fracture)", fractura: "Complete fracture" };
      const headline = answer.success ? named[answer.predictedClass] : "Neither is sure enough";
      const { threshold } = answer.meta;
      return { headline, of: "the likelier of the two", probability: answer.confidence / 100, threshold };
    },
  },
  breast_cancer: {
    title: "Mammogram risk",
    ask: async (space, film, options) => {
      const { prediction, probabilities, risk_assessment, meta } = await space.breastCancer(film, options);
      const headline = `${prediction}, ${risk_assessment.level.toLowerCase()}`;
      return {
        headline,
        of: "malignancy",
        probability: probabilities.malignant / 100,
        threshold: meta.threshold,
      };
    },
  },
  pneumonia: {
    title: "Pneumonia",
    ask: async (space, film, options) => {
      const { prediction, probabilities, meta } = await space.pneumonia(film, options);
      const headline = prediction === "Pneumonia" ? "Pneumonia" : "No pneumonia found";
      return { headline, of: "pneumonia", probability: probabilities.Pneumonia, threshold: meta.threshold };
    },
  },
};
