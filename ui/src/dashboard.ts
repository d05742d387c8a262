// What the operators' pages need. They are there without it; this keeps them up to date and draws the charts.
import "htmx.org";
import { startActions } from "./dashboard/actions";
import { startCharts } from "./dashboard/charts";
import { startLines } from "./dashboard/lines";
import { startLive } from "./dashboard/live";
import { startRollout } from "./dashboard/rollout";
import { startTimes } from "./dashboard/times";
import { startThemeSwitch } from "./theme";

startThemeSwitch();
startTimes();
startActions();
startCharts();
startLines();
startRollout();
startLive();
