// The page of a running explorer: all scenes, answered by the server that sent the page.

import { start } from "./app.js";
import { Connection } from "./socket.js";
import * as density from "./scenes/density.js";
import * as diffusion from "./scenes/diffusion.js";
import * as field from "./scenes/field.js";
import * as images from "./scenes/images.js";
import * as langevin from "./scenes/langevin.js";
import * as learn from "./scenes/learn.js";
import * as posterior from "./scenes/posterior.js";
import * as table from "./scenes/table.js";

const token = new URLSearchParams(location.search).get("token") ?? "";
const scheme = location.protocol === "https:" ? "wss" : "ws";
const address = `${scheme}://${location.host}/ws?token=${encodeURIComponent(token)}`;

start({ field, langevin, diffusion, learn, density, images, table, posterior }, (onState) => new Connection(address, onState));
