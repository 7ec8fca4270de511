export type * from "./answers.js";
export {
  type CallOptions,
  connect,
  type HeatMap,
  type ModelName,
  type Options,
  SecondLook,
} from "./client.js";
export { DeadlineExceeded, FilmUnreadable, Refused, SpaceUnavailable } from "./errors.js";
export type { Film } from "./films.js";
export type { Status } from "./patience.js";
