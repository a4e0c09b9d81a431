;;; A session of dap-mode without a frame: stop at LINE of SCRIPT, look, step, go on. What happens is printed, one line each.
;;; emacs -Q --batch -l emacs_session.el -l CONFIGURATION --eval '(debug-session "SCRIPT" LINE)'

(setq load-prefer-newer t)
(dolist (folder (directory-files "/usr/share/emacs/site-lisp/elpa-src" t "^[a-z]"))
  (add-to-list 'load-path folder))
(setq dap-breakpoints-file (make-temp-file "breakpoints")
      lsp-session-file (make-temp-file "session")
      dap-auto-show-output nil)
(require 'dap-ui)

(defun say (format-text &rest values)
  (princ (concat (apply #'format format-text values) "\n")))

(defvar seen nil "What has happened last.")
(add-hook 'dap-terminated-hook (lambda (_) (setq seen 'terminated)))
(add-hook 'dap-stack-frame-changed-hook
          (lambda (session)
            (when-let ((frame (dap--debug-session-active-frame session)))
              (setq seen 'stopped)
              (say "stopped in %s at %s" (gethash "name" frame) (gethash "line" frame)))))

(defun wait-for (what)
  (let ((end (+ (float-time) 60)))
    (while (not (eq seen what))
      (when (> (float-time) end) (error "Waited for %s in vain" what))
      (accept-process-output nil 0.1))))

(defun after (command what)
  "Give COMMAND and wait for WHAT."
  (setq seen nil)
  (funcall command (dap--cur-session))
  (wait-for what))

(defun ask (command arguments)
  "Return the body of the answer to COMMAND."
  (let (answer)
    (dap--send-message (dap--make-request command arguments) (lambda (came) (setq answer came)) (dap--cur-session))
    (while (not answer) (accept-process-output nil 0.05))
    (gethash "body" answer)))

(defun debug-session (script line)
  (find-file script)
  (goto-char (point-min))
  (forward-line (1- line))
  (dap-breakpoint-add)
  (dap-debug (copy-tree (cdr (assoc "edgeloop: debug this file on a device" dap-debug-template-configurations))))
  (wait-for 'stopped)
  (let* ((frame (gethash "id" (dap--debug-session-active-frame (dap--cur-session))))
         (scope (elt (gethash "scopes" (ask "scopes" (list :frameId frame))) 0))
         (held (ask "variables" (list :variablesReference (gethash "variablesReference" scope)))))
    (seq-do (lambda (one) (say "%s = %s" (gethash "name" one) (gethash "value" one))) (gethash "variables" held))
    (say "evaluated %s" (gethash "result" (ask "evaluate" (list :expression "factor * 21" :frameId frame)))))
  (after #'dap-next 'stopped)
  (after #'dap-step-out 'stopped)
  (after (lambda (session) (dap-continue session (dap--debug-session-thread-id session))) 'terminated)
  (say "terminated"))
