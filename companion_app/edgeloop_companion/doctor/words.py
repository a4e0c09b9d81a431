"""What findings say, in English: what was found, and the remedy. The screens have other languages."""

from __future__ import annotations

_SAME_NETWORK = "Join the computer's network; a guest network often keeps devices apart."

WORDS: dict[str, tuple[str, str]] = {
    "network.joined": ("this device is at {addresses}", ""),
    "network.none": ("This device is in no network.", "Switch Wi-Fi on and join the computer's network."),
    "computers.paired": ("{computers}", ""),
    "computers.none": ("No computer is paired.", "Run `edgeloop pair` on the computer and scan its code here."),
    "computers.unreadable": ("{reason}", "{hint}"),
    "computers.off": ("{computers} is switched off here.", "Switch it on to be linked with it."),
    "mdns.knocked": ("{computers} has found this device", ""),
    "mdns.announced": ("this device is announced; no computer has needed that yet", ""),
    "mdns.off": (
        "This device is not announced.",
        "Switch on in the app that computers may find it, and open it; without a screen: --advertise.",
    ),
    "mdns.failed": ("This device cannot be announced: {reason}.", "Until then it dials the addresses that it knows."),
    "mdns.app": ("only the running app knows", ""),
    "subnet.same": ("{computers} in the same network", ""),
    "subnet.routed": ("{computers} is behind a router: mDNS and knocks end there.", _SAME_NETWORK),
    "subnet.unknown": ("there is no computer to compare with", ""),
    "reachability.none": ("there is no computer to dial", ""),
    "reachability.answers": ("{computers} answers", ""),
    "reachability.refused": (
        "{computer} refuses at {places}: no daemon listens there.",
        "Run `edgeloop up` on the computer. If it listens elsewhere now, be in the same network, where it is found.",
    ),
    "reachability.timeout": ("{computer} does not answer at {places}.", "See `firewall` and `isolation`."),
    "reachability.unreachable": ("No way leads to {computer} at {places}.", "See `subnet` and `isolation`."),
    "reachability.certificate": (
        "Somebody else answers at {places}: it is not {computer}.",
        "Check the network for somebody in between; if the computer was set up anew, pair again.",
    ),
    "reachability.failed": ("Dialling {computer} at {places} failed.", "Try again; the daemon's log may say more."),
    "isolation.none": ("nothing suggests it", ""),
    "isolation.suspected": (
        "{computers} is in this network, and cannot be seen from here.",
        "Is it awake? Else switch client isolation off in the access point (guest networks have it), or use another network.",
    ),
    "firewall.none": ("none is suspected", ""),
    "firewall.suspected": (
        "{computers} is there, but lets nothing in at port {port}.",
        "Let TCP port {port} in: in the firewall of the computer; `edgeloop doctor` there names the command.",
    ),
    "clock.same": ("at most {seconds} s from the computers'", ""),
    "clock.unknown": ("no computer has told the time", ""),
    "clock.differs": (
        "This clock is {seconds} s from that of {computer}.",
        "Have both set their clocks by the network. Traces are corrected anyway.",
    ),
    "clock.impossible": ("The clock says {now}, which cannot be.", "Set it by the network."),
    "versions.fit": ("edgeloop {edgeloop}, Python {python}, {others}", ""),
    "versions.old": (
        "{name} {version} is too old: {least} is needed.",
        "Update the app, or run pip install --upgrade edgeloop.",
    ),
    "versions.missing": ("{name} is not installed.", "Install the app again."),
    "inference.works": ("MNN {version} ran a tiny model, and the numbers are right", ""),
    "inference.wrong": ("MNN {version} computes wrong numbers on a tiny model.", "Install another version of MNN."),
    "inference.fails": ("MNN cannot be used: {reason}", "Install MNN and numpy again: models cannot run without them."),
    "inference.unasked": ("not asked: this platform starts no process for it", "Run a task: it tells."),
    "disk.free": ("{free} free", ""),
    "disk.low": ("Only {free} are free.", "Clear the blobs in the app, or free space on the device."),
    "disk.unknown": ("this platform does not tell", ""),
    "heat.fine": ("not throttled", ""),
    "heat.throttled": ("The system slows the device down for its heat ({state}).", "Let it cool before you measure."),
    "heat.unknown": ("this platform does not tell", ""),
    "any.failed": ("Not checked: {reason}.", "See what the other checks find."),
}
